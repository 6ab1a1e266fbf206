/**
 * Graphs that were exported elsewhere give the very logits of weir's own graph of the same weights, bit for bit: for
 * prompts whole and in chunks, for rows alone and in ragged batches. So what holds for weir's own graphs holds for them.
 */
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { DecoderRunner } from "../../engine/worker/runner.ts";
import { openExported } from "../../models/exported/open.ts";
import { makeRandomModel, type ShapeName } from "../../scripts/make-random-model.ts";
import { compileForTest, temporaryFolder } from "../support/compiled.ts";
import type { ExportStyle } from "../support/exported-graph.ts";
import { exportModel } from "../support/exported-model.ts";

const VOCABULARY = 1024;
const STEPS = 4;
const ROWS = 5;
const CAPACITY = 300;
/** Shorter than most prompts here: the adapter cuts them, to bound the logits that it gets. */
const PIECE = 48;
const promptLength = (row: number): number => 30 + 23 * row;
const tokenAt = (row: number, position: number): number =>
  ((row * 7919 + position * 104_729 + row * position * 31) % 900) + 20;
const promptOf = (row: number): number[] =>
  Array.from({ length: promptLength(row) }, (_, i) => tokenAt(row, i));
const order = (rows: number): number[] => Array.from({ length: rows }, (_, row) => row);

interface Case extends ExportStyle {
  readonly shape: ShapeName;
  readonly type: "F32" | "Q4_0" | "Q8_0";
}

const styles: readonly ExportStyle[] = [
  { style: "genai", accuracyLevel: 4 },
  { style: "transformers", accuracyLevel: 4 },
  { style: "transformers", logitsToKeep: true, accuracyLevel: 0 },
];
const cases: readonly Case[] = [
  ...styles.flatMap((style) =>
    (["F32", "Q4_0"] as const).map((type): Case => ({ ...style, shape: "tiny-llama", type })),
  ),
  { style: "genai", accuracyLevel: 0, shape: "tiny-qwen2", type: "Q8_0" },
];

async function runners({ shape, type, ...style }: Case) {
  const gguf = join(temporaryFolder(), "model.gguf");
  makeRandomModel({ shape, type, out: gguf, seed: 7, vocab: VOCABULARY });
  const compiled = await compileForTest(gguf, { kv: "f32", accuracyLevel: style.accuracyLevel ?? 0 });
  const exported = openExported(exportModel({ gguf, folder: temporaryFolder(), ...style }));
  const arena = {
    geometry: exported.geometry,
    precision: "f32",
    slots: ROWS + 1,
    capacity: CAPACITY,
  } as const;
  const session = { threads: 2, spinning: true };
  const own = new DecoderRunner({
    graphPath: compiled.lane().graphPath,
    arena,
    chunkTokensMax: CAPACITY,
    session,
  });
  const { path: graphPath, decoder } = exported;
  const runner = new DecoderRunner({
    graphPath,
    layout: decoder.layout,
    arena,
    chunkTokensMax: PIECE,
    session,
  });
  return { own, runner };
}

/** A prompt into a slot, in chunks; logits of the last token. */
function prefill(runner: DecoderRunner, slot: number, row: number, chunks: readonly number[]): Float32Array {
  runner.clear(slot);
  let start = 0;
  let last = new Float32Array();
  for (const count of chunks) {
    const tokens = promptOf(row).slice(start, start + count);
    [last = last] = runner.prefill(slot, start, tokens, [count - 1]) as Float32Array<ArrayBuffer>[];
    start += count;
  }
  return last.slice();
}

/** The prompt's last logits, and those of some more tokens that are given, row by row. */
function reference(runner: DecoderRunner): Float32Array[][] {
  return order(ROWS).map((row) => [
    prefill(runner, 0, row, [promptLength(row)]),
    ...order(STEPS).map((step) =>
      (runner.decode([tokenAt(row, 1000 + step)], [promptLength(row) + step])[0] as Float32Array).slice(),
    ),
  ]);
}

const isCloseTo = (a: Float32Array, b: Float32Array): boolean =>
  a.every((value, index) => Math.abs(value - (b[index] as number)) < 1e-3);

describe.each(cases)("$shape $type, exported as for $style, accuracy $accuracyLevel", async (each) => {
  const { own, runner } = await runners(each);
  afterAll(() => {
    own.close();
    runner.close();
  });
  const expected = reference(own);

  test("the expected rows differ from one another", () => {
    expect(new Set(expected.flat().map((row) => row.join())).size).toBe(ROWS * (STEPS + 1));
  });

  test("rows alone have the logits of weir's own graph", () => {
    expect(runner.decodeRows).toBe("together");
    expect(reference(runner)).toEqual(expected);
  });

  test.each([2, 3, 5])("%i rows of different lengths together give each row's own bits", (rows) => {
    for (const row of order(rows)) prefill(runner, row, row, [promptLength(row)]);
    for (const step of order(STEPS)) {
      const logits = runner.decode(
        order(rows).map((row) => tokenAt(row, 1000 + step)),
        order(rows).map((row) => promptLength(row) + step),
      );
      for (const row of order(rows)) {
        expect(logits[row], `row ${row} step ${step}`).toEqual(expected[row]?.[step + 1]);
      }
    }
  });

  test.each([
    { chunks: [64, 58] },
    { chunks: [1, 121] },
    { chunks: [121, 1] },
    { chunks: [16, 16, 16, 16, 16, 16, 16, 10] },
  ])("a prompt in chunks of $chunks gives the same logits and leaves the same cache", ({ chunks }) => {
    expect(prefill(runner, 0, 4, chunks)).toEqual(expected[4]?.[0]);
    expect(runner.decode([tokenAt(4, 1000)], [promptLength(4)])[0]).toEqual(expected[4]?.[1]);
  });

  test("every position that is asked for has its logits, in whichever piece it comes", () => {
    const wanted = [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, promptLength(4) - 1];
    own.clear(0);
    const rows = own.prefill(0, 0, promptOf(4), wanted).map((row) => row.slice());
    runner.clear(0);
    expect(runner.prefill(0, 0, promptOf(4), wanted)).toEqual(rows);
  });

  test("a moved row goes on with the same bits", () => {
    prefill(runner, 3, 2, [promptLength(2)]);
    runner.move(3, 0, promptLength(2));
    expect(runner.decode([tokenAt(2, 1000)], [promptLength(2)])[0]).toEqual(expected[2]?.[1]);
  });
});

describe("a graph that takes a row's position from the mask's width", async () => {
  const { own, runner } = await runners({
    style: "width",
    shape: "tiny-llama",
    type: "F32",
  });
  afterAll(() => {
    own.close();
    runner.close();
  });

  test("is found out, and its rows are run one by one, each with its own bits", () => {
    expect(runner.decodeRows).toBe("alone");
    const expected = reference(runner);
    for (const row of order(ROWS)) prefill(runner, row, row, [promptLength(row)]);
    for (const step of order(STEPS)) {
      const logits = runner.decode(
        order(ROWS).map((row) => tokenAt(row, 1000 + step)),
        order(ROWS).map((row) => promptLength(row) + step),
      );
      expect(logits).toEqual(order(ROWS).map((row) => expected[row]?.[step + 1]));
    }
  });

  test("has the logits of weir's own graph, but for rounding", () => {
    const found = reference(runner);
    for (const [row, rows] of reference(own).entries()) {
      for (const [index, logits] of rows.entries()) {
        expect(isCloseTo(logits, found[row]?.[index] as Float32Array), `row ${row}, ${index}`).toBe(true);
      }
    }
  });
});
