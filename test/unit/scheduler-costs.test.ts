/** Learning what steps cost, and choosing a chunk's size by it. */
import { describe, expect, test } from "vitest";
import { sequenceId, slot, stepId, tokenId } from "../../engine/core/brand.ts";
import type { StepPlan } from "../../engine/core/step.ts";
import { ChunkCost } from "../../engine/scheduler/chunk-cost.ts";
import { type ChunkAsk, ChunkSizer } from "../../engine/scheduler/chunk-size.ts";
import { DecodeCost } from "../../engine/scheduler/decode-cost.ts";
import { done, laneLimits, tokens } from "../support/scheduler-build.ts";

describe("a decode run's cost", () => {
  test("is unknown before the first run", () => {
    expect(new DecodeCost().ms(4)).toBeUndefined();
    expect(new DecodeCost().msP95(4)).toBeUndefined();
  });

  test("lies between its neighbours where a number of rows was not seen, and is not blown up beyond them", () => {
    const cost = new DecodeCost();
    cost.observe(2, 10, false);
    cost.observe(6, 30, false);
    expect(cost.ms(4)).toBe(20);
    expect(cost.ms(1)).toBe(5);
    expect(cost.ms(9)).toBe(30);
  });

  test("moves by an eighth at most with one wild measurement, and ignores times that cannot be", () => {
    const cost = new DecodeCost();
    cost.observe(1, 8, false);
    for (const nonsense of [0, -5, Number.NaN]) cost.observe(1, nonsense, false);
    cost.observe(1, 8_000, false);
    expect(cost.ms(1)).toBe(9);
    for (let i = 0; i < 40; i += 1) cost.observe(1, 16, false);
    expect(cost.ms(1)).toBeCloseTo(16, 1);
  });

  test("believes a run beside a chunk less than one alone", () => {
    const alone = new DecodeCost();
    const beside = new DecodeCost();
    for (const cost of [alone, beside]) cost.observe(1, 10, false);
    alone.observe(1, 12, false);
    beside.observe(1, 12, true);
    expect(beside.ms(1)).toBeLessThan(alone.ms(1) ?? 0);
  });

  test("knows how far slow runs lie from the mean", () => {
    const cost = new DecodeCost();
    for (let i = 0; i < 100; i += 1) cost.observe(1, i % 2 === 0 ? 9 : 11, false);
    expect(cost.msP95(1)).toBeGreaterThan(11);
    expect(cost.msP95(1)).toBeLessThan(13);
  });
});

describe("a chunk's cost", () => {
  const learn = (
    cost: ChunkCost,
    ms: (count: number, start: number) => number,
    sizes: readonly number[],
  ): void => {
    for (let round = 0; round < 60; round += 1) {
      for (const [index, size] of sizes.entries()) {
        const start = (index * 300) % 1_200;
        cost.observe(size, start, ms(size, start));
      }
    }
  };

  test("is unknown before the first chunk", () => {
    expect(new ChunkCost().ms(8, 0)).toBeUndefined();
    expect(new ChunkCost().tokensWithin(10, 0)).toBeUndefined();
  });

  test("is learnt from chunks of several sizes and places", () => {
    const truth = (count: number, start: number): number =>
      5 + 1.2 * count + 0.0004 * count * (start + count / 2);
    const cost = new ChunkCost();
    learn(cost, truth, [8, 512, 16, 64, 256, 128]);
    for (const [count, start] of [
      [8, 0],
      [32, 700],
      [400, 100],
    ] as const) {
      expect(cost.ms(count, start), `${count} at ${start}`).toBeCloseTo(truth(count, start), -0.5);
    }
  });

  test("is right at the size in use, even where only that one was ever seen", () => {
    const cost = new ChunkCost();
    learn(cost, (count) => 8 + 1.2 * count, [512]);
    learn(cost, (count) => 8 + 1.2 * count, [8]);
    expect(cost.ms(8, 0)).toBeCloseTo(17.6, 1);
  });

  test("moves by an eighth at most with one wild measurement", () => {
    const cost = new ChunkCost();
    learn(cost, (count) => 3 + 1.3 * count, [8, 32]);
    const before = cost.ms(8, 0) ?? 0;
    cost.observe(8, 0, 100_000);
    expect(cost.ms(8, 0)).toBeLessThanOrEqual(before * 1.126);
    cost.observe(8, 0, 0);
    cost.observe(8, 0, Number.NaN);
    expect(cost.ms(8, 0)).toBeGreaterThan(before);
  });

  test("follows a machine that got four times faster within 25 small chunks", () => {
    const cost = new ChunkCost();
    learn(cost, (count) => 4 * count, [256]);
    for (let i = 0; i < 25; i += 1) cost.observe(8, 0, 8);
    expect(cost.ms(8, 0)).toBeLessThan(8.8);
  });

  test("turns round into the number of tokens that fit a time", () => {
    const cost = new ChunkCost();
    learn(
      cost,
      (count, start) => 5 + 1.2 * count + 0.0004 * count * (start + count / 2),
      [8, 512, 16, 64, 256, 128],
    );
    for (const ms of [20, 80, 400]) {
      const fitting = cost.tokensWithin(ms, 500) ?? 0;
      expect(cost.ms(fitting, 500)).toBeCloseTo(ms, 6);
    }
    expect(cost.tokensWithin(0.001, 0)).toBe(0);
  });
});

describe("the size of a chunk", () => {
  const LIMITS = laneLimits({
    rowsMax: 16,
    slotTokens: 4_096,
    stepTokensMax: 300,
    chunkTokensMax: 256,
    chunkTokensMin: 4,
  });
  const ask = (some: Partial<ChunkAsk> = {}): ChunkAsk => ({
    rows: 4,
    prompt: 1_500,
    start: 0,
    scored: false,
    queued: 0,
    elapsedMs: 0,
    ...some,
  });
  const plan = (rows: number, chunk: number, scored = false): StepPlan => ({
    step: stepId(1),
    closings: [],
    moves: [],
    openings: [],
    decode: tokens(rows).map((token, index) => ({
      sequence: sequenceId(1),
      slot: slot(index),
      token,
      position: 9,
    })),
    chunk:
      chunk === 0
        ? undefined
        : {
            sequence: sequenceId(2),
            slot: slot(9),
            start: 0,
            tokens: tokens(chunk),
            samples: false,
            score: scored ? { targets: tokens(chunk).map(tokenId), alternatives: 0 } : undefined,
          },
  });
  interface Machine {
    readonly decode: (rows: number) => number;
    readonly chunk: (count: number) => number;
  }
  const SLOW_START: Machine = { decode: (rows) => 9 + 1.6 * rows, chunk: (count) => 8 + 1.2 * count };
  const QUICK_START: Machine = { decode: (rows) => 9 + 1.6 * rows, chunk: (count) => 3 + 1.3 * count };

  /** A number of rows that no test asks about, so that spoiling its average spoils nothing else. */
  const SPENT_ROWS = 12;
  const teach = (sizer: ChunkSizer, machine: Machine, scored = false): void => {
    const show = (rows: number, chunk: number): void => {
      const times = { decodeMs: machine.decode(rows), chunkMs: machine.chunk(chunk) };
      const outcome = done(plan(rows, chunk, scored), times);
      if (outcome.kind === "done") sizer.observe(plan(rows, chunk, scored), outcome);
    };
    for (let round = 0; round < 60; round += 1) for (const size of [8, 256, 16, 64, 4]) show(0, size);
    for (const rows of [1, 4, 8, SPENT_ROWS]) for (let round = 0; round < 10; round += 1) show(rows, 0);
  };
  /** Uses up the credit for bursts by steps that are far too slow. */
  const spend = (sizer: ChunkSizer): void => {
    const slow = plan(SPENT_ROWS, 0);
    const outcome = done(slow, { decodeMs: 1_000 });
    for (let i = 0; i < 2 && outcome.kind === "done"; i += 1) sizer.observe(slow, outcome);
  };

  test("is all that the limits allow while nobody decodes", () => {
    const sizer = new ChunkSizer(LIMITS);
    expect(sizer.tokens(ask({ rows: 0 }))).toBe(256);
    expect(sizer.tokens(ask({ rows: 0, prompt: 100 }))).toBe(100);
    expect(sizer.tokens(ask({ rows: 0, prompt: 300, start: 290 }))).toBe(10);
  });

  test("is the least while nothing is known of the costs", () => {
    expect(new ChunkSizer(LIMITS).tokens(ask())).toBe(4);
  });

  test.each([1, 4, 8])("keeps a step with %i rows within the bound by what was measured", (rows) => {
    const sizer = new ChunkSizer(LIMITS);
    teach(sizer, QUICK_START);
    spend(sizer);
    const count = sizer.tokens(ask({ rows }));
    const { decode, chunk } = QUICK_START;
    expect(chunk(count)).toBeLessThanOrEqual(decode(rows) * 1.01);
    expect(chunk(count + 4)).toBeGreaterThan(decode(rows)); // sizes go by 4 at most here
  });

  test("grows with the prompts that wait for free slots, up to four times the bound", () => {
    const sizer = new ChunkSizer(LIMITS);
    teach(sizer, QUICK_START);
    spend(sizer);
    const { decode, chunk } = QUICK_START;
    const stretch = (queued: number): number =>
      (decode(4) + chunk(sizer.tokens(ask({ queued })))) / decode(4);
    expect(stretch(0)).toBeLessThanOrEqual(2.02);
    expect(stretch(4)).toBeGreaterThan(3.4);
    expect(stretch(4)).toBeLessThanOrEqual(4.04);
    expect(stretch(12)).toBeGreaterThan(7);
    expect(stretch(100)).toBe(stretch(12));
    expect(stretch(12)).toBeLessThanOrEqual(8.08);
  });

  test("is none at all now and then while runs are shared, to time the rows alone", () => {
    const sizer = new ChunkSizer(LIMITS);
    teach(sizer, QUICK_START);
    const shared = (rows: number, chunk: number): void => {
      const outcome = done(plan(rows, chunk), { decodeMs: 20, chunkMs: 0 });
      if (outcome.kind === "done") sizer.observe(plan(rows, chunk), { ...outcome, shared: true });
    };
    let sizes = 0;
    for (; sizer.tokens(ask()) > 0; sizes += 1) shared(4, 8);
    expect(sizes).toBe(12);
    expect(sizer.tokens(ask({ rows: 0 }))).toBeGreaterThan(0);
    const alone = done(plan(4, 0), { decodeMs: 15.4 });
    if (alone.kind === "done") sizer.observe(plan(4, 0), alone);
    expect(sizer.tokens(ask())).toBeGreaterThan(0);
  });

  test("is larger where a shared run shows that a chunk costs little beside the rows", () => {
    const sizer = new ChunkSizer(LIMITS);
    teach(sizer, SLOW_START);
    spend(sizer);
    const before = sizer.tokens(ask());
    for (let round = 0; round < 12; round += 1) {
      const size = 4 + 4 * (round % 3);
      const outcome = done(plan(4, size), { decodeMs: SLOW_START.decode(4) + 0.4 * size, chunkMs: 0 });
      if (outcome.kind === "done") sizer.observe(plan(4, size), { ...outcome, shared: true });
      const alone = done(plan(4, 0), { decodeMs: SLOW_START.decode(4) });
      if (alone.kind === "done") sizer.observe(plan(4, 0), alone);
    }
    spend(sizer);
    expect(sizer.tokens(ask())).toBeGreaterThan(2 * before);
  });

  test("is never below the least, though the bound is lost by it", () => {
    const sizer = new ChunkSizer(LIMITS);
    teach(sizer, { decode: () => 5, chunk: (count) => 20 + 5 * count });
    spend(sizer);
    expect(sizer.tokens(ask({ rows: 1 }))).toBe(4);
  });

  test("keeps to the step's token budget whatever the bound allows", () => {
    const sizer = new ChunkSizer({ ...LIMITS, interTokenStretchMax: 1_000 });
    teach(sizer, QUICK_START);
    expect(sizer.tokens(ask({ rows: 8 }))).toBe(256);
    const tight = new ChunkSizer({ ...LIMITS, interTokenStretchMax: 1_000, stepTokensMax: 256 });
    teach(tight, QUICK_START);
    expect(tight.tokens(ask({ rows: 8 }))).toBe(248);
  });

  test("has no burst where the usual chunks are fast enough for the prompt", () => {
    const sizer = new ChunkSizer(LIMITS);
    teach(sizer, QUICK_START);
    const usual = sizer.tokens(ask({ rows: 8 }));
    expect(QUICK_START.chunk(usual)).toBeLessThanOrEqual(QUICK_START.decode(8) * 1.01);
  });

  test("has a burst where they are not, within four times the bound, and only one on a credit", () => {
    const sizer = new ChunkSizer(LIMITS);
    teach(sizer, SLOW_START);
    const burst = sizer.tokens(ask({ rows: 4 }));
    const stepMs = SLOW_START.decode(4) + SLOW_START.chunk(burst);
    expect(stepMs).toBeGreaterThan(2 * SLOW_START.decode(4));
    expect(stepMs).toBeLessThanOrEqual(8 * SLOW_START.decode(4) * 1.05);
    const times = { decodeMs: SLOW_START.decode(4), chunkMs: SLOW_START.chunk(burst) };
    const outcome = done(plan(4, burst), times);
    if (outcome.kind === "done") sizer.observe(plan(4, burst), outcome);
    for (let step = 0; step < 20; step += 1) {
      const usual = sizer.tokens(ask({ rows: 4, start: burst }));
      expect(SLOW_START.decode(4) + SLOW_START.chunk(usual)).toBeLessThanOrEqual(2.1 * SLOW_START.decode(4));
    }
  });

  test("has no burst on a machine that is over the bound by itself", () => {
    const sizer = new ChunkSizer(LIMITS);
    teach(sizer, SLOW_START);
    spend(sizer);
    const usual = sizer.tokens(ask({ rows: 4 }));
    expect(SLOW_START.chunk(usual)).toBeLessThanOrEqual(SLOW_START.decode(4) * 1.05);
  });

  test("knows that a scored chunk costs more", () => {
    const sizer = new ChunkSizer(LIMITS);
    teach(sizer, QUICK_START);
    expect(sizer.tokens(ask({ scored: true }))).toBe(4);
    teach(sizer, { decode: QUICK_START.decode, chunk: (count) => 3 + 2.6 * count }, true);
    spend(sizer);
    const plain = sizer.tokens(ask({ rows: 8 }));
    const scored = sizer.tokens(ask({ rows: 8, scored: true }));
    expect(scored).toBeLessThan(plain);
    expect(scored).toBeGreaterThan(plain / 3);
  });
});
