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

  test("they hold nearly, the rows first, where every chunk starts dearly", () => {
    const all = SEEDS.map((seed) => measureLatency({ ...DEAR_START, noise: 0.05 }, rows, seed));
    expect(mean(all, (latency) => latency.gapStretch)).toBeLessThanOrEqual(2);
    expect(worst(all, (latency) => latency.gapStretch)).toBeLessThanOrEqual(2.1);
    expect(mean(all, (latency) => latency.firstTokenStretch)).toBeLessThanOrEqual(rows === 4 ? 3.3 : 3);
    expect(worst(all, (latency) => latency.worstStretch)).toBeLessThanOrEqual(10);
  });

  test.each([0, 0.05, 0.1])("both promises hold at costs that were measured (noise %d)", (noise) => {
    const all = SEEDS.map((seed) => measureLatency({ ...MEASURED, noise }, rows, seed));
    expect(mean(all, (latency) => latency.gapStretch)).toBeLessThanOrEqual(2.05);
    expect(mean(all, (latency) => latency.firstTokenStretch)).toBeLessThanOrEqual(3);
    expect(worst(all, (latency) => latency.firstTokenStretch)).toBeLessThanOrEqual(3.3);
  });
});

test("no row ever waits longer than the bound where no burst is needed", () => {
  const { worstStretch, chunks } = measureLatency({ ...CHEAP_START, noise: 0 }, 8, 1);
  expect(worstStretch).toBeLessThanOrEqual(2.02);
  expect(new Set(chunks.slice(0, -1)).size).toBe(1);
});

test("a wider bound gives larger chunks and an earlier first token", () => {
  const narrow = measureLatency({ ...CHEAP_START, noise: 0 }, 8, 1);
  const wide = measureLatency({ ...CHEAP_START, noise: 0 }, 8, 1, { interTokenStretchMax: 4 });
  expect(wide.gapStretch).toBeGreaterThan(3.5);
  expect(wide.gapStretch).toBeLessThanOrEqual(4.05);
  expect(wide.firstTokenStretch).toBeLessThan(0.75 * narrow.firstTokenStretch);
});

test("a chunk is never shorter than the floor, though a lone row gets over its bound by that", () => {
  const { chunks, gapStretch } = measureLatency({ ...DEAR_START, noise: 0 }, 1, 1, { chunkTokensMin: 4 });
  expect(Math.min(...chunks.slice(0, -1))).toBe(4);
  expect(gapStretch).toBeGreaterThan(2);
});
