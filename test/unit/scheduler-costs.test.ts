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

  test("knows how far slow runs lie above what was expected, by those that were alone", () => {
    const cost = new DecodeCost();
    expect(cost.slowness).toBe(1.1);
    for (let i = 0; i < 100; i += 1) cost.observe(1, i % 10 === 0 ? 15 : 10, false);
    expect(cost.slowness).toBeGreaterThan(1.3);
    expect(cost.slowness).toBeLessThan(1.6);
    for (let i = 0; i < 100; i += 1) cost.observe(1, 30, true);
    expect(cost.slowness).toBeLessThan(1.6);
    for (let i = 0; i < 100; i += 1) cost.observe(1, 10, false);
    expect(cost.slowness).toBe(1);
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

  const teach = (sizer: ChunkSizer, machine: Machine, scored = false): void => {
    const show = (rows: number, chunk: number): void => {
      const times = { decodeMs: machine.decode(rows), chunkMs: machine.chunk(chunk) };
      const outcome = done(plan(rows, chunk, scored), times);
      if (outcome.kind === "done") sizer.observe(plan(rows, chunk, scored), outcome);
    };
    for (let round = 0; round < 60; round += 1) for (const size of [8, 256, 16, 64, 4]) show(0, size);
    for (const rows of [1, 4, 8]) for (let round = 0; round < 10; round += 1) show(rows, 0);
  };
  /** Takes the burst that is due, for a prompt that is long overdue. */
  const spend = (sizer: ChunkSizer): number => sizer.tokens(ask({ elapsedMs: 1_000_000 }));
  const step = (sizer: ChunkSizer, rows: number, chunk: number, ms: number, shared = false): void => {
    const outcome = done(plan(rows, chunk), { decodeMs: ms, chunkMs: 0, shared });
    if (outcome.kind === "done") sizer.observe(plan(rows, chunk), outcome);
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
    expect(chunk(count)).toBeLessThanOrEqual(decode(rows));
    expect(chunk(count + 4)).toBeGreaterThan(0.85 * decode(rows)); // sizes go by 4 at most here
  });

  test("grows with the prompts that wait for free slots, up to four times the bound", () => {
    const sizer = new ChunkSizer(LIMITS);
    teach(sizer, QUICK_START);
    spend(sizer);
    const { decode, chunk } = QUICK_START;
    const stretch = (queued: number): number =>
      (decode(4) + chunk(sizer.tokens(ask({ queued })))) / decode(4);
    expect(stretch(0)).toBeLessThanOrEqual(2);
    expect(stretch(4)).toBeGreaterThan(3.2);
    expect(stretch(4)).toBeLessThanOrEqual(4);
    expect(stretch(12)).toBeGreaterThan(6.5);
    expect(stretch(100)).toBe(stretch(12));
    expect(stretch(12)).toBeLessThanOrEqual(8);
  });

  test("is none at all now and then while runs are shared, to time the rows alone", () => {
    const sizer = new ChunkSizer(LIMITS);
    teach(sizer, QUICK_START);
    let sizes = 0;
    for (; sizer.tokens(ask()) > 0; sizes += 1) step(sizer, 4, 8, 20, true);
    expect(sizes).toBe(24);
    expect(sizer.tokens(ask({ rows: 0 }))).toBeGreaterThan(0);
    step(sizer, 4, 0, 15.4);
    expect(sizer.tokens(ask())).toBeGreaterThan(0);
  });

  test("is larger where a shared run shows that a chunk costs little beside the rows", () => {
    const sizer = new ChunkSizer(LIMITS);
    teach(sizer, SLOW_START);
    spend(sizer);
    const before = sizer.tokens(ask());
    for (let round = 0; round < 12; round += 1) {
      const size = 4 + 4 * (round % 3);
      step(sizer, 4, size, SLOW_START.decode(4) + 0.4 * size, true);
      step(sizer, 4, 0, SLOW_START.decode(4));
    }
    spend(sizer);
    expect(sizer.tokens(ask())).toBeGreaterThan(2 * before);
  });

  test("is none where not even the least fits, but one step in thirty-one has one whatever it costs", () => {
    const sizer = new ChunkSizer(LIMITS);
    teach(sizer, { decode: () => 5, chunk: (count) => 200 + 50 * count });
    expect(sizer.tokens(ask({ rows: 1 }))).toBe(4);
    const sizes = Array.from({ length: 62 }, () => {
      const size = sizer.tokens(ask({ rows: 1 }));
      step(sizer, 1, 0, 5);
      return size;
    });
    expect(sizes.filter((size) => size > 0)).toEqual([4]);
    expect(sizes.indexOf(4)).toBe(31);
  });

  test("is as long as may be, once in thirty-one steps, where the prompt is late already", () => {
    const sizer = new ChunkSizer(LIMITS);
    teach(sizer, { decode: () => 5, chunk: (count) => 200 + 50 * count });
    expect(sizer.tokens(ask({ rows: 1, start: 8, elapsedMs: 1_000_000 }))).toBe(256);
    expect(sizer.tokens(ask({ rows: 1, start: 264, elapsedMs: 1_000_000 }))).toBe(0);
  });

  test("does not wait for room while others wait for slots", () => {
    const sizer = new ChunkSizer(LIMITS);
    teach(sizer, { decode: () => 5, chunk: (count) => 200 + 50 * count });
    spend(sizer);
    expect(sizer.tokens(ask({ rows: 4, queued: 3 }))).toBe(4);
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

  test("has a burst where they are not, within nine times the bound, and only one in thirty-one steps", () => {
    const sizer = new ChunkSizer(LIMITS);
    teach(sizer, SLOW_START);
    const { decode, chunk } = SLOW_START;
    const burst = sizer.tokens(ask());
    expect(decode(4) + chunk(burst)).toBeGreaterThan(2 * decode(4));
    expect(decode(4) + chunk(burst)).toBeLessThanOrEqual(9 * 2 * decode(4) * 1.05);
    const usual = Array.from({ length: 31 }, () => {
      const size = sizer.tokens(ask({ start: burst }));
      step(sizer, 4, 0, decode(4));
      return size;
    });
    expect(decode(4) + chunk(Math.max(...usual))).toBeLessThanOrEqual(2 * decode(4));
    expect(sizer.tokens(ask({ start: burst }))).toBeGreaterThan(Math.max(...usual));
  });

  test("shrinks when steps turn out to be over the bound, and grows again slowly", () => {
    const sizer = new ChunkSizer(LIMITS);
    teach(sizer, QUICK_START);
    spend(sizer);
    const { decode } = QUICK_START;
    const settled = (steps: number, ms: number): number => {
      for (let i = 0; i < steps; i += 1) {
        sizer.tokens(ask());
        // A wild time that no cost is learnt from: as long as another number of rows and no chunk would say.
        step(sizer, 9, 0, ms);
        spend(sizer);
      }
      return sizer.tokens(ask());
    };
    const before = sizer.tokens(ask());
    const spilt = settled(6, 10 * decode(4));
    expect(spilt).toBeLessThan(before);
    expect(settled(20, decode(4))).toBe(spilt);
    expect(settled(800, decode(4))).toBeGreaterThanOrEqual(before);
  });

  test("leaves rows whose contexts grow no more than they had before the prompt", () => {
    const sizer = new ChunkSizer(LIMITS);
    teach(sizer, QUICK_START);
    spend(sizer);
    const before = sizer.tokens(ask({ rows: 8, start: 0 }));
    for (let i = 0; i < 200; i += 1) {
      sizer.tokens(ask({ rows: 8, start: 100 }));
      step(sizer, 8, 0, (1 + 0.2 * Math.min(1, i / 100)) * QUICK_START.decode(8));
    }
    // A burst that is due comes first.
    sizer.tokens(ask({ rows: 8, start: 100, elapsedMs: 1_000_000 }));
    expect(sizer.tokens(ask({ rows: 8, start: 100 }))).toBeLessThan(before);
    expect(sizer.tokens(ask({ rows: 8, start: 0 }))).toBeGreaterThan(before);
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
