/** The scheduler through its public face, one behaviour at a time: work, order, slots, the queue. */
import { describe, expect, test } from "vitest";
import { tokenId } from "../../engine/core/brand.ts";
import type { SchedulerEvent } from "../../engine/core/sequence.ts";
import { done, kinds, newSequence, runSteps, setUp, tokens } from "../support/scheduler-build.ts";

describe("one sequence", () => {
  test("is opened, prefilled chunk by chunk, decoded token by token, and closed with the next plan", () => {
    const { scheduler, add, step } = setUp({ chunkTokensMax: 4 });
    const id = add({ prompt: tokens(6), maxTokens: 3 });
    const first = step();
    expect(first.plan.openings.map(({ sequence, slot }) => [sequence, slot])).toEqual([[id, 0]]);
    expect(first.plan.chunk).toMatchObject({
      sequence: id,
      slot: 0,
      start: 0,
      tokens: tokens(4),
      samples: false,
    });
    expect(first.events).toEqual([]);
    const second = step();
    expect(second.plan.openings).toEqual([]);
    expect(second.plan.chunk).toMatchObject({
      start: 4,
      tokens: tokens(2, 104),
      samples: true,
      score: undefined,
    });
    expect(second.events).toEqual([{ kind: "token", sequence: id, token: 7, scored: undefined, index: 0 }]);
    const third = step();
    expect(third.plan.chunk).toBeUndefined();
    expect(third.plan.decode).toEqual([{ sequence: id, slot: 0, token: 7, position: 6 }]);
    const fourth = step();
    expect(fourth.plan.decode).toEqual([{ sequence: id, slot: 0, token: 7, position: 7 }]);
    expect(kinds(fourth.events)).toEqual(["token", "finished"]);
    expect(scheduler.idle).toBe(true);
    expect(scheduler.next()).toBeUndefined();
    add();
    expect(step().plan.closings).toEqual([id]);
  });

  test("tells the worker how to sample it", () => {
    const { add, step } = setUp();
    add({
      endTokens: [tokenId(1), tokenId(2)],
      stopTokens: [tokenId(2), tokenId(3)],
      minTokens: 5,
      logprobs: 2,
    });
    expect(step().plan.openings).toMatchObject([{ endTokens: [1, 2, 3], minTokens: 5, logprobs: 2 }]);
  });

  test("ends with stop at an end token or a stop token, which is reported", () => {
    for (const some of [{ endTokens: [tokenId(9)] }, { stopTokens: [tokenId(9)] }]) {
      const { add, step } = setUp();
      add(some);
      step();
      const { events } = step({ token: 9 });
      expect(events).toMatchObject([
        { kind: "token", token: 9, index: 1 },
        { kind: "finished", reason: "stop" },
      ]);
    }
  });

  test("does not end at an end token before minTokens", () => {
    const { add, step } = setUp();
    add({ endTokens: [tokenId(9)], minTokens: 2 });
    expect(kinds(step({ token: 9 }).events)).toEqual(["token"]);
    expect(kinds(step({ token: 9 }).events)).toEqual(["token"]);
    expect(kinds(step({ token: 9 }).events)).toEqual(["token", "finished"]);
  });

  test("ends with stop rather than length where its last token is an end token", () => {
    const { add, step } = setUp();
    add({ endTokens: [tokenId(9)], maxTokens: 1 });
    expect(step({ token: 9 }).events.at(-1)).toMatchObject({ kind: "finished", reason: "stop" });
  });

  test("ends with length when prompt and answer fill the slot", () => {
    const { scheduler, add } = setUp({ slotTokens: 8 });
    add({ prompt: tokens(5), maxTokens: 100 });
    const events = runSteps(scheduler);
    expect(kinds(events)).toEqual(["token", "token", "token", "finished"]);
    expect(events.at(-1)).toMatchObject({ reason: "length" });
  });

  test("with maxTokens 0 only has its prompt computed", () => {
    const { add, step } = setUp();
    add({ maxTokens: 0 });
    const { plan, events } = step();
    expect(plan.chunk?.samples).toBe(false);
    expect(events).toMatchObject([{ kind: "finished", reason: "length" }]);
  });

  test("has its prompt scored: each token but the first, in one event before its first token", () => {
    const { add, step } = setUp({ chunkTokensMax: 4 });
    add({ prompt: tokens(6), promptLogprobs: 3 });
    const first = step();
    expect(first.plan.chunk?.score).toEqual({ targets: tokens(4, 101), alternatives: 3 });
    expect(first.events).toEqual([]);
    const second = step();
    expect(second.plan.chunk?.score).toEqual({ targets: [105, undefined], alternatives: 3 });
    expect(kinds(second.events)).toEqual(["prompt", "token"]);
    const [prompt] = second.events;
    expect(prompt?.kind === "prompt" && prompt.scored.map((scored) => scored.token)).toEqual(tokens(5, 101));
  });

  test("is told how long it queued, prefilled and decoded", () => {
    const { clock, scheduler, add } = setUp({ chunkTokensMax: 4 });
    add({ prompt: tokens(8), maxTokens: 3 });
    clock.advance(5);
    let events: readonly SchedulerEvent[] = [];
    for (let plan = scheduler.next(); plan !== undefined; plan = scheduler.next()) {
      clock.advance(10);
      events = scheduler.settle(plan, done(plan));
    }
    expect(events.at(-1)).toMatchObject({ times: { queueMs: 5, prefillMs: 20, decodeMs: 20 } });
  });

  test.each([
    ["no prompt", { prompt: [] }],
    ["a prompt that fills its slot", { prompt: tokens(64) }],
    ["half a token", { maxTokens: 0.5 }],
    ["a priority that is no number", { priority: Number.NaN }],
  ])("is refused as a bug with %s", (_, some) => {
    const { add } = setUp();
    expect(() => add(some)).toThrow();
  });
});

describe("several sequences", () => {
  test("decode together while the next prompt is computed beside them, and join at every step", () => {
    const { add, step } = setUp();
    const [a, b, c] = [add({ maxTokens: 9 }), add({ maxTokens: 9 }), add({ maxTokens: 9 })];
    expect(step().plan).toMatchObject({ decode: [], chunk: { sequence: a, slot: 0 } });
    expect(step().plan).toMatchObject({
      decode: [{ sequence: a, slot: 0 }],
      chunk: { sequence: b, slot: 1 },
    });
    expect(step().plan).toMatchObject({
      decode: [{ sequence: a }, { sequence: b }],
      chunk: { sequence: c, slot: 2 },
    });
    const { plan } = step();
    expect(plan.decode.map(({ sequence, slot }) => [sequence, slot])).toEqual([
      [a, 0],
      [b, 1],
      [c, 2],
    ]);
  });

  test("hold rowsMax slots at most; the others wait", () => {
    const { scheduler, add, step } = setUp({ rowsMax: 2 });
    for (let i = 0; i < 4; i += 1) add({ maxTokens: 50 });
    for (let i = 0; i < 5; i += 1) step();
    expect([scheduler.runningCount, scheduler.waitingCount]).toEqual([2, 2]);
  });

  test("start in the order of priority, then arrival", () => {
    const { add, step } = setUp();
    const [a, b, c, d] = [add({ priority: 1 }), add(), add({ priority: -1 }), add()];
    const started = Array.from({ length: 4 }, () => step().plan.openings[0]?.sequence);
    expect(started).toEqual([c, b, d, a]);
  });

  test("leave holes that the last row fills, with as many tokens as it has", () => {
    const { scheduler, add, step } = setUp();
    const [a, , c] = [
      add({ maxTokens: 50 }),
      add({ maxTokens: 50 }),
      add({ prompt: tokens(5), maxTokens: 50 }),
    ];
    while (scheduler.runningCount < 3) step();
    scheduler.cancel(a);
    const { plan } = step();
    expect(plan.closings).toEqual([a]);
    expect(plan.moves).toEqual([{ sequence: c, from: 2, to: 0, tokens: 5 }]);
    expect(plan.decode[0]).toMatchObject({ sequence: c, slot: 0, position: 5 });
  });

  test("leave the prefilling one where it is, until it joins", () => {
    const { scheduler, add, step } = setUp({ chunkTokensMax: 4, chunkTokensMin: 4 });
    const a = add({ maxTokens: 50 });
    step();
    const b = add({ prompt: tokens(10), maxTokens: 50 });
    expect(step().plan.chunk).toMatchObject({ sequence: b, slot: 1 });
    scheduler.cancel(a);
    expect(step().plan).toMatchObject({ moves: [], decode: [], chunk: { sequence: b, slot: 1, start: 4 } });
    step();
    expect(step().plan).toMatchObject({
      moves: [{ sequence: b, from: 1, to: 0, tokens: 10 }],
      decode: [{ sequence: b, slot: 0, position: 10 }],
    });
  });

  test("share the step's token budget", () => {
    const { add, step } = setUp({ rowsMax: 4, stepTokensMax: 5, chunkTokensMax: 5, chunkTokensMin: 5 });
    for (let i = 0; i < 4; i += 1) add({ prompt: tokens(12), maxTokens: 50 });
    for (let i = 0; i < 20; i += 1) {
      const { plan } = step();
      expect(plan.decode.length + (plan.chunk?.tokens.length ?? 0)).toBeLessThanOrEqual(5);
    }
  });
});

describe("a full queue", () => {
  test("refuses the next one and says when to come back; free slots are not counted as queue", () => {
    const { scheduler, add, step } = setUp({ rowsMax: 1, waitingMax: 2 });
    for (let i = 0; i < 3; i += 1) add({ maxTokens: 1 });
    expect(scheduler.add(newSequence())).toEqual({ kind: "full", retryAfterMs: 1_000 });
    step();
    expect(scheduler.add(newSequence()).kind).toBe("queued");
  });

  test("tells refused clients the pace at which sequences end", () => {
    const { clock, scheduler, add, step } = setUp({ rowsMax: 1, waitingMax: 1 });
    for (let i = 0; i < 20; i += 1) {
      add({ maxTokens: 1 });
      clock.advance(300);
      step();
    }
    add();
    add();
    expect([scheduler.add(newSequence()), scheduler.add(newSequence())]).toEqual([
      { kind: "full", retryAfterMs: 300 },
      { kind: "full", retryAfterMs: 600 },
    ]);
  });
});
