/** The digest of dequantised weights: equal where a compiled model computes with its source's numbers, else not. */
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { digestWeights, type WeightDigests } from "../../../bench/support/weights-digest.ts";
import type { StoredDecoder } from "../../../models/compile/decoder.ts";
import { LAYOUT_NAME, WEIGHTS_NAME } from "../../../models/manifest.ts";
import { openModelSource } from "../../../models/open.ts";
import type { TensorType } from "../../../models/source.ts";
import { makeRandomModel, type ShapeName } from "../../../scripts/make-random-model.ts";
import { type CompiledModel, compileForTest, temporaryFolder } from "../../support/compiled.ts";

const folder = temporaryFolder();

function model(shape: ShapeName, type: TensorType, seed = 1): string {
  const out = join(folder, `${shape}-${type}-${seed}.gguf`);
  makeRandomModel({ shape, type, out, seed, layers: 2, vocab: 320 });
  return out;
}

function digests(path: string, { folder: compiled }: CompiledModel): WeightDigests {
  const source = openModelSource(path);
  try {
    return digestWeights(source, compiled);
  } finally {
    source.store.close();
  }
}

describe("the digest of the dequantised weights", () => {
  test.each([
    ["tiny-llama", "Q4_0"],
    ["tiny-llama", "F32"],
    ["tiny-qwen2", "Q8_0"],
    ["tiny-qwen3", "Q4_0"],
    ["tiny-qwen3", "BF16"],
  ] as const)(
    "is the same in a %s of type %s and in what is compiled from it without loss",
    async (shape, type) => {
      const path = model(shape, type);
      const { source, compiled, tensors } = digests(path, await compileForTest(path));
      expect(compiled).toBe(source);
      expect(source).toMatch(/^[0-9a-f]{64}$/);
      expect(tensors).toBeGreaterThanOrEqual(20);
    },
  );

  test("differs where the compiler changed the block", async () => {
    const path = model("tiny-llama", "Q4_0");
    const { source, compiled } = digests(path, await compileForTest(path, { quant: "q4", block: 64 }));
    expect(compiled).not.toBe(source);
  });

  test("differs between two models of the same shape", async () => {
    const one = model("tiny-llama", "Q4_0");
    const other = model("tiny-llama", "Q4_0", 2);
    const { source, compiled } = digests(other, await compileForTest(one));
    expect(compiled).not.toBe(source);
  });

  test("sees one changed weight in the last matrix", async () => {
    const path = model("tiny-llama", "Q8_0");
    const made = await compileForTest(path);
    const before = digests(path, made);
    const layout = JSON.parse(readFileSync(join(made.folder, LAYOUT_NAME), "utf8")) as StoredDecoder;
    const down = layout.layers.at(-1)?.down;
    const file = openSync(join(made.folder, WEIGHTS_NAME), "r+");
    writeSync(file, Uint8Array.of(1), 0, 1, (down?.data.offset ?? 0) + (down?.data.length ?? 0) - 1);
    closeSync(file);
    const after = digests(path, made);
    expect(after.source).toBe(before.source);
    expect(after.compiled).not.toBe(before.compiled);
  });
});
