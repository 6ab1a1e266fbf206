/**
 * Batch invariance at the width of a real model and at the numbers of rows that are served by default and measured by the
 * bench: kernels choose their tiles by both.
 */
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { DecoderRunner } from "../../engine/worker/runner.ts";
import { makeRandomModel } from "../../scripts/make-random-model.ts";
import { compileForTest, temporaryFolder } from "../support/compiled.ts";

const ROWS = 33;
const VOCABULARY = 1_024;
const LONG = 700;
/** Ragged, and one row far longer than the others. */
const lengthOf = (row: number): number => (row === 5 ? LONG : 24 + 7 * row);
const tokenAt = (row: number, position: number): number =>
  ((row * 7_919 + position * 104_729 + row * position * 31) % 900) + 20;
const promptOf = (row: number): number[] => Array.from({ length: lengthOf(row) }, (_, i) => tokenAt(row, i));
const rowsUpTo = (count: number): number[] => Array.from({ length: count }, (_, row) => row);

const native = (["Q4_0", "Q8_0", "F32"] as const).flatMap((type) =>
  (["int8", "f32"] as const).map((kv) => ({ type, kv, quant: undefined, block: undefined })),
);
/** Larger blocks have kernels of their own. */
const requantised = [
  { type: "F32", kv: "int8", quant: "q4", block: 64 },
  { type: "F32", kv: "int8", quant: "q4", block: 128 },
  { type: "F32", kv: "int8", quant: "q8", block: 128 },
] as const;
const cases = [...native, ...requantised];
const title = "two layers of SmolLM2-135M, $type as $quant in blocks of $block, with an $kv cache";

describe.each(cases)(title, async ({ type, kv, quant, block }) => {
  const path = join(temporaryFolder(), "model.gguf");
  makeRandomModel({ shape: "smollm2-135m", type, layers: 2, out: path, seed: 3, vocab: VOCABULARY });
  const compiled = await compileForTest(path, { kv, quant, block, calibration: [promptOf(1), promptOf(9)] });
  const { graphPath, kvScales } = compiled.lane(kv);
  const runner = new DecoderRunner({
    graphPath,
    sharedGraphPath: graphPath.replace(/\.onnx$/, kv === "int8" ? ".staged.onnx" : ".shared.onnx"),
    kvScales,
    arena: { geometry: compiled.manifest.geometry, precision: kv, slots: 36, capacity: 768 },
    chunkTokensMax: 256,
    session: { threads: 2, spinning: true },
  });
  afterAll(() => runner.close());

  const prefill = (slot: number, row: number, count = lengthOf(row)): void => {
    runner.clear(slot);
    for (let start = 0; start < count; start += 256) {
      const tokens = promptOf(row).slice(start, Math.min(count, start + 256));
      runner.prefill(slot, start, tokens, [tokens.length - 1]);
    }
  };
  const alone = rowsUpTo(ROWS).map((row) => {
    prefill(0, row);
    return (runner.decode([tokenAt(row, 1_000)], [lengthOf(row)])[0] as Float32Array).slice();
  });
  const next = (rows: number): [number[], number[]] => [
    rowsUpTo(rows).map((row) => tokenAt(row, 1_000)),
    rowsUpTo(rows).map(lengthOf),
  ];

  test("rows and chunks share runs, and prompts are read in f32 beside an int8 cache", () => {
    expect(runner.staged).toBe(kv === "int8");
    // Whatever has to be filled up on this processor: these are whole already.
    for (const [rows, count] of [
      [4, 4],
      [16, 24],
      [32, 100],
    ] as const)
      expect(runner.canShare(rows, count), `${rows} rows, ${count} tokens`).toBe(true);
  });

  test.each([6, 15, 16, 17, 32, 33])("%i rows together give each row's own bits", (rows) => {
    for (const row of rowsUpTo(rows)) prefill(row, row);
    const logits = runner.decode(...next(rows));
    for (const row of rowsUpTo(rows)) expect(logits[row], `row ${row}`).toEqual(alone[row]);
  });

  test.for([
    [8, 24],
    [15, 9],
    [16, 4],
    [16, 100],
    [32, 13],
  ] as const)(
    "%i rows and a chunk of %i tokens in one run give the bits of two",
    ([rows, count], { skip }) => {
      const start = 200;
      const tokens = promptOf(5).slice(start, start + count);
      prefill(rows, 5, start);
      const last = (runner.prefill(rows, start, tokens, [count - 1])[0] as Float32Array).slice();
      for (const row of rowsUpTo(rows)) prefill(row, row);
      prefill(rows, 5, start);
      if (!runner.canShare(rows, count)) skip("kernels here want other numbers in a shared run");
      const shared = runner.share(...next(rows), { slot: rows, start, tokens }, true);
      for (const row of rowsUpTo(rows)) expect(shared.rows[row], `row ${row}`).toEqual(alone[row]);
      expect(shared.last).toEqual(last);
    },
  );
});
