import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { admit, type Breaker, CLOSED, type Outcome, settle } from "../../../engine/cloud/breaker.ts";

const options = { failuresMax: 3, openMs: 100, openMaxMs: 350, trialMs: 1000 };
const fail = (state: Breaker, now: number) => settle(state, "failure", now, options);
const opened = (now: number): Breaker => fail(fail(fail(CLOSED, now), now), now);
const go = (state: Breaker, now: number): Breaker => {
  const admission = admit(state, now, options);
  if (admission.kind !== "go") throw new Error(`wait ${admission.retryAfterMs}`);
  return admission.state;
};

describe("the breaker", () => {
  test("opens after so many failures in a row, and says when to come back", () => {
    const twice = fail(fail(CLOSED, 0), 0);
    expect(admit(twice, 0, options).kind).toBe("go");
    expect(admit(opened(50), 60, options)).toEqual({ kind: "wait", retryAfterMs: 90 });
  });

  test("counts from nothing after a success", () => {
    expect(settle(fail(fail(CLOSED, 0), 0), "success", 0, options)).toEqual(CLOSED);
  });

  test("does not count requests that say nothing of the backend", () => {
    const state = fail(fail(CLOSED, 0), 0);
    expect(settle(state, "neither", 0, options)).toEqual(state);
  });

  test("lets one request try it when its time is over, and closes on its success", () => {
    const trial = go(opened(0), 100);
    expect(trial.kind).toBe("trial");
    expect(admit(trial, 101, options).kind).toBe("wait");
    expect(settle(trial, "success", 150, options)).toEqual(CLOSED);
  });

  test("opens for twice as long after a trial that failed, up to a bound", () => {
    let state = opened(0);
    const spans: number[] = [];
    let now = 0;
    for (let index = 0; index < 4; index += 1) {
      const admission = admit(state, now, options);
      spans.push(admission.kind === "wait" ? admission.retryAfterMs : 0);
      now += spans.at(-1) ?? 0;
      state = fail(go(state, now), now);
    }
    expect(spans).toEqual([100, 200, 350, 350]);
  });

  test("lets everybody in as soon as the trial's answer begins, and not only when it has ended", () => {
    const begun = settle(go(opened(0), 100), "begun", 150, options);
    expect(begun.kind).toBe("closed");
    expect(go(begun, 150)).toEqual(begun);
    expect(settle(begun, "success", 90_000, options)).toEqual(CLOSED);
  });

  test("opens again, and for longer, where an answer breaks off before one was complete", () => {
    const begun = settle(go(opened(0), 100), "begun", 150, options);
    const stillBegun = settle(settle(begun, "begun", 160, options), "neither", 170, options);
    expect(fail(stillBegun, 200)).toEqual({ kind: "open", until: 400, openMs: 200 });
  });

  test("does not take the beginnings of answers for their ends", () => {
    let state = CLOSED;
    for (let index = 0; index < 3; index += 1) state = fail(settle(state, "begun", 0, options), 0);
    expect(state.kind).toBe("open");
    expect(settle(state, "begun", 10, options)).toEqual(state);
  });

  test("lets the next request try it where the trial's client left, or never ended", () => {
    const trial = go(opened(0), 100);
    expect(go(settle(trial, "neither", 120, options), 120).kind).toBe("trial");
    expect(admit(trial, 1099, options)).toEqual({ kind: "wait", retryAfterMs: 1 });
    expect(go(trial, 1100)).toEqual({ kind: "trial", since: 1100, openMs: 100 });
  });

  test("is not opened for longer by requests that began before it opened", () => {
    const state = opened(0);
    expect(fail(state, 50)).toEqual(state);
  });

  test("never waits for ever, whatever happens", () => {
    const move = fc.record({
      after: fc.nat(500),
      outcome: fc.constantFrom<Outcome>("begun", "success", "failure", "neither"),
    });
    fc.assert(
      fc.property(fc.array(move, { maxLength: 30 }), (moves) => {
        let state = CLOSED;
        let now = 0;
        for (const { after, outcome } of moves) {
          now += after;
          const admission = admit(state, now, options);
          if (admission.kind === "go") state = settle(admission.state, outcome, now, options);
          else expect(admission.retryAfterMs).toBeLessThanOrEqual(options.trialMs);
          const later = admit(state, now + options.trialMs, options);
          expect(later.kind).toBe("go");
        }
      }),
    );
  });
});
