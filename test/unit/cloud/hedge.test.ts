import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createHedge } from "../../../engine/cloud/hedge.ts";
import { RecentTimes } from "../../../engine/cloud/recent-times.ts";
import type { ZonedGenerator } from "../../../engine/cloud/zoned.ts";
import { WeirError } from "../../../engine/core/errors.ts";
import type { GenerationEvent } from "../../../engine/core/generator.ts";
import { USAGE } from "../../support/answers.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { eventsOf, remoteRequest } from "../../support/remote.ts";

const textOf = (events: readonly GenerationEvent[]) =>
  events.map((event) => (event.kind === "text" ? event.text : "")).join("");

interface Backend extends ZonedGenerator<"cloud"> {
  asked: number;
  left: number;
  /** Lets the answer, or the failure, begin; true at first. */
  gate: Promise<unknown>;
  fails: boolean;
}

function backend(name: string): Backend {
  const self: Backend = {
    zone: "cloud",
    name,
    asked: 0,
    left: 0,
    gate: Promise.resolve(),
    fails: false,
    async *generate(_request, signal) {
      self.asked += 1;
      let complete = false;
      try {
        const gone = new Promise((_, reject) => {
          signal.addEventListener("abort", () => reject(new WeirError("cancelled", name)), { once: true });
        });
        await Promise.race([self.gate, gone]);
        if (self.fails) throw new WeirError("backend_failed", name);
        yield { kind: "started", promptTokens: 1 };
        yield { kind: "text", text: name, tokens: [], logprobs: [] };
        complete = true;
        yield { kind: "finished", reason: "stop", usage: USAGE };
      } finally {
        if (!complete) self.left += 1;
      }
    },
  };
  return self;
}

/** A hedge that has seen three answers that began after 100 ms; `ring` ends the pauses that it makes. */
async function trained() {
  const clock = new FakeClock();
  const [a, b] = [backend("a"), backend("b")];
  const pauses: number[] = [];
  let ring = (): void => undefined;
  const pause = (ms: number, signal: AbortSignal) => {
    pauses.push(ms);
    return new Promise((resolve, reject) => {
      ring = () => resolve(undefined);
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  };
  const hedge = createHedge(a, b, { samplesMin: 3, samplesMax: 100 }, { clock, pause });
  for (let index = 0; index < 3; index += 1) {
    a.gate = sleep(1).then(() => clock.advance(100));
    await eventsOf(hedge, remoteRequest());
  }
  a.gate = Promise.resolve();
  return { hedge, a, b, pauses, ring: () => ring() };
}

const never = new Promise(() => undefined);

describe("a hedge", () => {
  test("races nothing before it knows what late is", async () => {
    const { b, pauses } = await trained();
    expect(pauses).toEqual([]);
    expect(b.asked).toBe(0);
  });

  test("asks the first alone where it begins in time", async () => {
    const { hedge, a, b, pauses } = await trained();
    expect(textOf(await eventsOf(hedge, remoteRequest()))).toBe("a");
    expect(pauses).toEqual([100]);
    expect([a.asked, b.asked, a.left]).toEqual([4, 0, 0]);
  });

  test("asks the second when the first is late, takes what begins first, and leaves the other", async () => {
    const { hedge, a, b, ring } = await trained();
    a.gate = never;
    const events = hedge.generate(remoteRequest(), new AbortController().signal)[Symbol.asyncIterator]();
    const begun = events.next();
    await sleep(5);
    ring();
    expect((await begun).value).toMatchObject({ kind: "started" });
    await sleep(0);
    // At once, not when the answer is complete.
    expect([a.left, b.left]).toEqual([1, 0]);
    expect((await events.next()).value).toMatchObject({ text: "b" });
  });

  test("takes the first where it begins before the second after all", async () => {
    const { hedge, a, b, ring } = await trained();
    a.gate = sleep(20);
    b.gate = never;
    const answer = eventsOf(hedge, remoteRequest());
    await sleep(5);
    ring();
    expect(textOf(await answer)).toBe("a");
    await sleep(0);
    expect([a.left, b.left]).toEqual([0, 1]);
  });

  test("gives a failure in time as it is, and asks nobody else", async () => {
    const { hedge, a, b } = await trained();
    a.fails = true;
    await expect(eventsOf(hedge, remoteRequest())).rejects.toMatchObject({ message: "a" });
    expect(b.asked).toBe(0);
  });

  test.each(["a", "b"] as const)("waits for the other where %s fails in the race", async (failing) => {
    const { hedge, a, b, ring } = await trained();
    const both = { a, b };
    a.gate = sleep(failing === "a" ? 15 : 30);
    b.gate = sleep(failing === "b" ? 1 : 30);
    both[failing].fails = true;
    const answer = eventsOf(hedge, remoteRequest());
    await sleep(5);
    ring();
    expect(textOf(await answer)).toBe(failing === "a" ? "b" : "a");
  });

  test("fails where both fail", async () => {
    const { hedge, a, b, ring } = await trained();
    a.gate = sleep(15);
    [a.fails, b.fails] = [true, true];
    const answer = eventsOf(hedge, remoteRequest()).catch((error: WeirError) => error.code);
    await sleep(5);
    ring();
    expect(await answer).toBe("backend_failed");
  });

  test("leaves both when the client leaves, in the pause and in the race", async () => {
    for (const racing of [false, true]) {
      const { hedge, a, b, ring } = await trained();
      a.gate = never;
      b.gate = never;
      const stop = new AbortController();
      const answer = eventsOf(hedge, remoteRequest(), stop.signal);
      await sleep(5);
      if (racing) ring();
      await sleep(5);
      stop.abort();
      await expect(answer).rejects.toMatchObject({ code: "cancelled" });
      expect([a.left, b.asked, b.left]).toEqual(racing ? [1, 1, 1] : [1, 0, 0]);
    }
  });

  test("leaves the backend whose answer is left half-read", async () => {
    const { hedge, a } = await trained();
    for await (const event of hedge.generate(remoteRequest(), new AbortController().signal)) {
      if (event.kind === "started") break;
    }
    await sleep(0);
    expect(a.left).toBe(1);
  });

  test("cannot be made across zones: a type error, and an assertion where the types are got around", () => {
    const inside: ZonedGenerator<"onprem"> = { ...backend("inside"), zone: "onprem" };
    const ports = { clock: new FakeClock(), pause: async () => undefined };
    // @ts-expect-error: a hedge of an on-prem backend and one in the cloud
    expect(() => createHedge(inside, backend("b"), { samplesMin: 1, samplesMax: 2 }, ports)).toThrow(
      /holds b, which is elsewhere/,
    );
  });
});

describe("the last times", () => {
  test("have a p95 that 95 of 100 keep to, of the last ones only", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(1000), { minLength: 1, maxLength: 60 }), (times) => {
        const recent = new RecentTimes({ samplesMin: 1, samplesMax: 20 });
        for (const ms of times) recent.add(ms);
        const last = times.slice(-20);
        const p95 = recent.p95 ?? Number.NaN;
        expect(last).toContain(p95);
        expect(last.filter((ms) => ms <= p95).length).toBeGreaterThanOrEqual(last.length * 0.95);
        expect(last.filter((ms) => ms < p95).length).toBeLessThan(last.length * 0.95);
      }),
    );
  });
});
