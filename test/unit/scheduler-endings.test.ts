/** How sequences end before their time: clients leave, stop strings, time-outs, failed steps, broken contracts. */
import { describe, expect, test } from "vitest";
import { sequenceId, stepId, tokenId } from "../../engine/core/brand.ts";
import { done, failed, kinds, mustPlan, of, setUp, tokens } from "../support/scheduler-build.ts";

describe("a client that leaves", () => {
  test("while waiting was never there", () => {
    const { scheduler, add, step } = setUp({ rowsMax: 1 });
    const a = add({ maxTokens: 2 });
    const b = add();
    scheduler.cancel(b);
    const first = step();
    const second = step();
    expect([...of(first.events, b), ...of(second.events, b)]).toEqual([]);
    expect(of(second.events, a).at(-1)).toMatchObject({ kind: "finished" });
    expect(scheduler.next()).toBeUndefined();
  });

  test("in the middle of its prompt or its answer frees the slot with the next step, without a further event", () => {
    const { scheduler, add, step } = setUp({ rowsMax: 1, chunkTokensMax: 4 });
    const [a, b, c] = [add({ prompt: tokens(9) }), add({ maxTokens: 9 }), add()];
    step();
    scheduler.cancel(a);
    expect(step().plan).toMatchObject({ closings: [a], openings: [{ sequence: b, slot: 0 }] });
    step();
    scheduler.cancel(b);
    const last = step();
    expect(last.plan).toMatchObject({ closings: [b], openings: [{ sequence: c, slot: 0 }] });
    expect(of(last.events, b)).toEqual([]);
  });

  test("while a step runs gets nothing of that step", () => {
    const { scheduler, add, step } = setUp();
    const [a, b] = [add(), add()];
    step();
    const plan = mustPlan(scheduler);
    scheduler.cancel(a);
    scheduler.cancel(b);
    expect(scheduler.settle(plan, done(plan))).toEqual([]);
    expect(scheduler.idle).toBe(true);
  });

  test("twice, or after its end, or unknown, changes nothing", () => {
    const { scheduler, add, step } = setUp();
    const a = add({ maxTokens: 1 });
    step();
    scheduler.cancel(a);
    scheduler.cancel(a);
    scheduler.stop(a);
    scheduler.cancel(sequenceId(99));
    expect(scheduler.takeEvents()).toEqual([]);
  });

  test("takes its events that were not yet fetched with it", () => {
    const { scheduler, add } = setUp();
    const a = add();
    scheduler.stop(a);
    scheduler.cancel(a);
    expect(scheduler.takeEvents()).toEqual([]);
  });
});

describe("a stop found outside", () => {
  test("finishes the sequence with stop at once, and closes it with the next step", () => {
    const { scheduler, add, step } = setUp();
    const [a, b] = [add(), add()];
    step();
    scheduler.stop(a);
    expect(scheduler.takeEvents()).toMatchObject([{ kind: "finished", sequence: a, reason: "stop" }]);
    expect(step().plan).toMatchObject({ closings: [a], decode: [], chunk: { sequence: b } });
  });

  test("while a step runs drops that step's token", () => {
    const { scheduler, add, step } = setUp();
    const a = add();
    step();
    const plan = mustPlan(scheduler);
    scheduler.stop(a);
    expect(scheduler.settle(plan, done(plan))).toMatchObject([
      { kind: "finished", sequence: a, reason: "stop" },
    ]);
  });
});

describe("time-outs", () => {
  test("fail those that wait and those that run, and say where they stood", () => {
    const { clock, scheduler, add, step } = setUp({ rowsMax: 1 });
    const [a, b] = [add({ maxTokens: 50, timeoutMs: 100 }), add({ timeoutMs: 100 })];
    step();
    clock.advance(99);
    step();
    clock.advance(1);
    expect(scheduler.next()).toBeUndefined();
    const events = scheduler.takeEvents();
    expect(events).toMatchObject([
      { kind: "failed", sequence: a, code: "request_timeout" },
      { kind: "failed", sequence: b, code: "request_timeout" },
    ]);
    expect(events[0]).toHaveProperty("message", expect.stringContaining("2 of at most 50 answer tokens"));
    expect(events[1]).toHaveProperty("message", expect.stringContaining("waiting for a free slot"));
  });

  test("are never longer than the lane's limit", () => {
    const { clock, scheduler, add } = setUp({ requestTimeoutMs: 50 });
    add({ timeoutMs: 1_000 });
    clock.advance(50);
    expect(scheduler.next()).toBeUndefined();
    expect(kinds(scheduler.takeEvents())).toEqual(["failed"]);
  });

  test("come back with the next settled step where others go on", () => {
    const { clock, scheduler, add, step } = setUp();
    const a = add({ timeoutMs: 10 });
    add();
    clock.advance(10);
    expect(of(step().events, a)).toMatchObject([{ code: "request_timeout" }]);
    expect(scheduler.takeEvents()).toEqual([]);
  });
});

describe("a failed step", () => {
  test("fails what had streamed, retries what had not, and goes on", () => {
    const { scheduler, add, step } = setUp();
    const [a, b, c] = [add({ maxTokens: 9 }), add({ maxTokens: 1 }), add({ maxTokens: 1 })];
    step();
    const plan = mustPlan(scheduler);
    const events = scheduler.settle(plan, failed(plan, true));
    expect(events).toMatchObject([{ kind: "failed", sequence: a, code: "backend_failed" }]);
    expect(events[0]).toHaveProperty("message", expect.stringContaining("the kernel said no"));
    const again = step();
    expect(new Set(again.plan.closings)).toEqual(new Set([a, b]));
    expect(again.plan.openings).toMatchObject([{ sequence: b, slot: 0 }]);
    expect(again.plan.chunk).toMatchObject({ sequence: b, start: 0, samples: true });
    expect(kinds(again.events)).toEqual(["token", "finished"]);
    expect(step().plan.chunk).toMatchObject({ sequence: c });
  });

  test("that lost the lane takes all slots with it, and closes nothing in the new one", () => {
    const { scheduler, add, step } = setUp();
    const [a, b] = [add({ maxTokens: 9 }), add({ maxTokens: 9 })];
    step();
    scheduler.cancel(a);
    const plan = mustPlan(scheduler);
    expect(scheduler.settle(plan, failed(plan, false))).toEqual([]);
    expect(step().plan).toMatchObject({
      closings: [],
      openings: [{ sequence: b, slot: 0 }],
      chunk: { start: 0 },
    });
  });

  test("is retried twice, then the sequence fails", () => {
    const { scheduler, add } = setUp();
    const a = add();
    for (let attempt = 1; attempt <= 2; attempt += 1) {
      const plan = mustPlan(scheduler);
      expect(scheduler.settle(plan, failed(plan, true))).toEqual([]);
    }
    const plan = mustPlan(scheduler);
    const events = scheduler.settle(plan, failed(plan, true));
    expect(events).toMatchObject([{ kind: "failed", sequence: a, code: "backend_failed" }]);
    expect(scheduler.idle).toBe(true);
  });

  test("sends its closings again, since nobody knows whether they were done", () => {
    const { scheduler, add, step } = setUp();
    const a = add({ maxTokens: 1 });
    step();
    const b = add();
    const plan = mustPlan(scheduler);
    expect(plan.closings).toEqual([a]);
    scheduler.settle(plan, failed(plan, true));
    expect(new Set(step().plan.closings)).toEqual(new Set([a, b]));
  });

  test("puts a sequence back where its arrival belongs, before those that came later", () => {
    const { scheduler, add, step } = setUp({ rowsMax: 1 });
    const a = add();
    add();
    const plan = mustPlan(scheduler);
    scheduler.settle(plan, failed(plan, true));
    expect(step().plan.chunk).toMatchObject({ sequence: a });
  });

  test("scores a retried prompt from its beginning, once", () => {
    const { scheduler, add, step } = setUp({ chunkTokensMax: 4 });
    add({ prompt: tokens(6), promptLogprobs: 0, maxTokens: 1 });
    step();
    const plan = mustPlan(scheduler);
    scheduler.settle(plan, failed(plan, true));
    step();
    const [prompt] = step().events;
    expect(prompt?.kind === "prompt" && prompt.scored.length).toBe(5);
  });
});

describe("a caller or worker that breaks the contract", () => {
  test("is stopped when it asks for a step while one is in flight, or settles another", () => {
    const { scheduler, add, step } = setUp();
    add();
    const { plan: old } = step();
    const plan = mustPlan(scheduler);
    expect(() => scheduler.next()).toThrow("before the step in flight was settled");
    expect(() => scheduler.settle(old, done(old))).toThrow("not the one in flight");
    expect(() => scheduler.settle(plan, { ...done(plan), step: stepId(77) })).toThrow("outcome of step 77");
  });

  test.each([
    ["too few tokens", { sampled: [] }],
    [
      "a token of a stranger",
      { sampled: [{ sequence: sequenceId(9), token: tokenId(1), scored: undefined }] },
    ],
    ["scores nobody asked for", { scored: [{ token: tokenId(1), logprob: 0, top: [] }] }],
  ])("is stopped when the outcome has %s", (_, some) => {
    const { scheduler, add } = setUp();
    add();
    const plan = mustPlan(scheduler);
    expect(() => scheduler.settle(plan, { ...done(plan), ...some } as never)).toThrow(`step ${plan.step}`);
  });
});
