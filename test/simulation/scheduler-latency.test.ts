/**
 * The two promises of the chunk's size, on simulated machines: while a 1,500-token prompt is computed beside
 * 4 to 8 rows, p95 between their tokens stays within twice the undisturbed, and the prompt's first token
 * comes within 3 times its time alone. What a real machine does is the bench's business.
 */
import { describe, expect, test } from "vitest";
import { type Latency, type Machine, measureLatency } from "../support/scheduler-latency.ts";

const decodeMs = (rows: number): number => 9 + 1.6 * rows;
/** Chunks start cheaply: both promises can be kept with small chunks alone. */
const CHEAP_START: Omit<Machine, "noise"> = { decodeMs, chunkMs: (count) => 3 + 1.3 * count };
/** A chunk reads all the weights for a few tokens: small chunks alone would take 4 times the prompt's time alone. */
const DEAR_START: Omit<Machine, "noise"> = { decodeMs, chunkMs: (count) => 8 + 1.2 * count };
/** Measured: a 135M model in 4 bits on one thread. Attention grows with what stands before the chunk. */
const MEASURED: Omit<Machine, "noise"> = {
  decodeMs: (rows) => 8 + 3.3 * rows,
  chunkMs: (count, start) => 6.3 + 2.2 * count + 0.0025 * count * (start + count / 2),
};

/** Measured: the same model on two threads of a newer processor. Rows and chunk share a run, and rows grow. */
const SHARED: Omit<Machine, "noise"> = {
  decodeMs: (rows, context) => 7 + 2.1 * rows + 0.0035 * rows * context,
  chunkMs: (count, start) => 6 + 1.85 * count + 0.012 * start + 0.0009 * count * (start + count / 2),
  sharedMs: (count, start) => 1.7 * count + 0.015 * start + 0.0005 * count * (start + count / 2),
};

const SEEDS = Array.from({ length: 10 }, (_, index) => index + 1);
const worst = (all: readonly Latency[], of: (latency: Latency) => number): number => Math.max(...all.map(of));
const mean = (all: readonly Latency[], of: (latency: Latency) => number): number =>
  all.reduce((sum, latency) => sum + of(latency), 0) / all.length;

describe.each([4, 6, 8])("beside %i rows", (rows) => {
  test.each([0, 0.05, 0.1])("both promises hold where chunks start cheaply (noise %d)", (noise) => {
    const all = SEEDS.map((seed) => measureLatency({ ...CHEAP_START, noise }, rows, seed));
    expect(worst(all, (latency) => latency.gapStretch)).toBeLessThanOrEqual(2.02);
    expect(worst(all, (latency) => latency.firstTokenStretch)).toBeLessThanOrEqual(3);
  });

  test.each([
    ["where every chunk starts dearly", DEAR_START],
    ["at costs that were measured", MEASURED],
    ["at costs that were measured in shared runs", SHARED],
  ])("both promises hold %s, within what noise of a run adds", (_, machine) => {
    for (const noise of [0, 0.05, 0.1]) {
      const all = SEEDS.map((seed) => measureLatency({ ...machine, noise }, rows, seed));
      expect(mean(all, (latency) => latency.gapStretch)).toBeLessThanOrEqual(2.05);
      expect(worst(all, (latency) => latency.gapStretch)).toBeLessThanOrEqual(noise === 0 ? 2.02 : 2.25);
      expect(mean(all, (latency) => latency.firstTokenStretch)).toBeLessThanOrEqual(3);
      expect(worst(all, (latency) => latency.firstTokenStretch)).toBeLessThanOrEqual(
        noise === 0 ? 3.05 : 3.4,
      );
      expect(worst(all, (latency) => latency.worstStretch)).toBeLessThanOrEqual(30);
    }
  });
});

test.each([
  [1, 1_500],
  [1, 16_000],
  [2, 4_000],
  [4, 8_000],
  [4, 16_000],
])(
  "beside %i rows a prompt of %i tokens is in time, however dear its context makes small chunks",
  (rows, tokens) => {
    const latency = measureLatency({ ...SHARED, noise: 0.05 }, rows, 1, {}, tokens);
    expect(latency.firstTokenStretch).toBeLessThanOrEqual(3);
    // Rows grow meanwhile: the bound follows them.
    expect(latency.gapStretch).toBeLessThanOrEqual(tokens > 4_000 ? 6 : 2.1);
  },
);

test("no row ever waits longer than the bound where no burst is needed", () => {
  const machine: Machine = { decodeMs, chunkMs: (count) => 1 + 1.1 * count, noise: 0 };
  const { worstStretch, chunks } = measureLatency(machine, 8, 1);
  expect(worstStretch).toBeLessThanOrEqual(2.02);
  expect(Math.min(...chunks.slice(0, -1))).toBeGreaterThan(8);
});

test("a wider bound gives larger chunks and an earlier first token", () => {
  const narrow = measureLatency({ ...CHEAP_START, noise: 0 }, 8, 1);
  const wide = measureLatency({ ...CHEAP_START, noise: 0 }, 8, 1, { interTokenStretchMax: 4 });
  expect(wide.gapStretch).toBeGreaterThan(3.5);
  expect(wide.gapStretch).toBeLessThanOrEqual(4.05);
  expect(wide.firstTokenStretch).toBeLessThan(0.75 * narrow.firstTokenStretch);
});

test("a chunk is never shorter than the floor: where that is over the bound, there is none but in bursts", () => {
  const { chunks, gapStretch } = measureLatency({ ...DEAR_START, noise: 0 }, 1, 1, { chunkTokensMin: 4 });
  const taken = chunks.slice(0, -1).filter((size) => size > 0);
  expect(Math.min(...taken)).toBeGreaterThanOrEqual(4);
  expect(taken.length).toBeLessThan(chunks.length / 20);
  expect(gapStretch).toBeLessThanOrEqual(1.01);
});
