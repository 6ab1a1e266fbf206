/**
 * Batch invariance: a row's logits are the same bits alone and among any neighbours, and whatever chunks its prompt came
 * in. For every family, every precision that ships, both caches.
 */
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { padTo } from "../../engine/worker/padding.ts";
import { DecoderRunner } from "../../engine/worker/runner.ts";
import { makeRandomModel, type ShapeName } from "../../scripts/make-random-model.ts";
import { compileForTest, temporaryFolder } from "../support/compiled.ts";

const VOCABULARY = 1024;
const STEPS = 4;
const ROWS = 8;
/** Different lengths, so that decoding rows are ragged. */
const promptLength = (row: number): number => 40 + 13 * row;
const tokenAt = (row: number, position: number): number =>
  ((row * 7919 + position * 104_729 + row * position * 31) % 900) + 20;
const promptOf = (row: number): number[] =>
  Array.from({ length: promptLength(row) }, (_, i) => tokenAt(row, i));
const calibration = [promptOf(1), promptOf(7)];

const cases = (["tiny-llama", "tiny-qwen2", "tiny-qwen3"] as const satisfies readonly ShapeName[]).flatMap(
  (shape) =>
    (["F32", "Q8_0", "Q4_0"] as const).flatMap((type) =>
      (["f32", "int8"] as const).map((kv) => ({ shape, type, kv })),
    ),
);

describe.each(cases)("$shape $type with an $kv cache", async ({ shape, type, kv }) => {
  const folder = temporaryFolder();
  const path = join(folder, "model.gguf");
  makeRandomModel({ shape, type, out: path, seed: 7, vocab: VOCABULARY });
  const compiled = await compileForTest(path, { kv, calibration });
  const runner = new DecoderRunner({
    graphPath: compiled.lane(kv).graphPath,
    sharedGraphPath: compiled
      .lane(kv)
      .graphPath.replace(/\.onnx$/, kv === "int8" ? ".staged.onnx" : ".shared.onnx"),
    kvScales: compiled.manifest.precision.kvScales,
    arena: { geometry: compiled.manifest.geometry, precision: kv, slots: ROWS + 1, capacity: 300 },
    chunkTokensMax: 256,
    session: { threads: 2, spinning: true },
  });
  afterAll(() => runner.close());

  const prefill = (slot: number, row: number, chunks: readonly number[]): void => {
    runner.clear(slot);
    let start = 0;
    for (const count of chunks) {
      runner.prefill(slot, start, promptOf(row).slice(start, start + count), [count - 1]);
      start += count;
    }
  };
  const decodeAlone = (row: number): Float32Array[] =>
    Array.from({ length: STEPS }, (_, step) => {
      const [logits] = runner.decode([tokenAt(row, 1000 + step)], [promptLength(row) + step]);
      return (logits as Float32Array).slice();
    });
  const reference = Array.from({ length: ROWS }, (_, row) => {
    prefill(0, row, [promptLength(row)]);
    return decodeAlone(row);
  });

  test("the reference rows differ from one another", () => {
    expect(new Set(reference.map((rows) => rows[0]?.join())).size).toBe(ROWS);
  });

  test.each([2, 3, 4, 5, 8])("%i rows together give each row's own bits", (rows) => {
    for (let row = 0; row < rows; row += 1) prefill(row, row, [promptLength(row)]);
    for (let step = 0; step < STEPS; step += 1) {
      const order = Array.from({ length: rows }, (_, row) => row);
      const logits = runner.decode(
        order.map((row) => tokenAt(row, 1000 + step)),
        order.map((row) => promptLength(row) + step),
      );
      for (const row of order) expect(logits[row], `row ${row} step ${step}`).toEqual(reference[row]?.[step]);
    }
  });

  test.each([
    { chunks: [64, 67] },
    { chunks: [1, 130] },
    { chunks: [130, 1] },
    { chunks: [16, 16, 16, 16, 16, 16, 16, 16, 3] },
    { chunks: [43, 44, 44] },
  ])("a prompt in chunks of $chunks leaves the same cache", ({ chunks }) => {
    prefill(0, 7, chunks);
    expect(decodeAlone(7)).toEqual(reference[7]);
  });

  test.for([1, 2, 4, 6, 8])("%i rows and a chunk in one run give the bits of two runs", (rows, { skip }) => {
    const order = Array.from({ length: rows }, (_, row) => row);
    for (const row of order) prefill(row, row, [promptLength(row)]);
    const chunk = { slot: rows, start: 40, tokens: promptOf(7).slice(40, 52) };
    prefill(rows, 7, [40]);
    // Filled-up rows could write into the chunk's slot, unless the chunk stands on the stage.
    const whole = padTo(rows, runner.padding.decodeRows) === rows;
    if (!whole && !runner.staged) skip("kernels here want other numbers of rows");
    expect(runner.canShare(rows, chunk.tokens.length)).toBe(true);
    const { rows: decoded, last } = runner.share(
      order.map((row) => tokenAt(row, 1000)),
      order.map(promptLength),
      chunk,
      true,
    );
    for (const row of order) expect(decoded[row], `row ${row}`).toEqual(reference[row]?.[0]);
    const seen = (last as Float32Array).slice();
    // What the chunk left in the cache is what the rest of its prompt goes on from.
    runner.move(rows, 0, 52);
    runner.prefill(0, 52, promptOf(7).slice(52), [promptLength(7) - 53]);
    expect(decodeAlone(7)).toEqual(reference[7]);
    prefill(0, 7, [40]);
    expect(runner.prefill(0, 40, chunk.tokens, [chunk.tokens.length - 1])[0]).toEqual(seen);
  });

  test("a moved row goes on with the same bits", () => {
    prefill(3, 5, [promptLength(5)]);
    runner.move(3, 0, promptLength(5));
    expect(decodeAlone(5)).toEqual(reference[5]);
  });
});
