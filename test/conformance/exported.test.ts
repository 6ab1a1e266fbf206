/**
 * The test's exporter writes the layout that others read, and the adapter reads it as they do: Transformers.js, whose cache
 * grows by a copy at each step, writes the same greedy tokens from the same directory.
 */
import { basename, dirname, join } from "node:path";
import { AutoModelForCausalLM, env, Tensor } from "@xenova/transformers";
import { describe, expect, test } from "vitest";
import { DecoderRunner } from "../../engine/worker/runner.ts";
import { openImport } from "../../models/open.ts";
import { makeRandomModel, type ShapeName } from "../../scripts/make-random-model.ts";
import { temporaryFolder } from "../support/compiled.ts";
import { exportModel } from "../support/exported-model.ts";

const NEW_TOKENS = 24;
const PROMPT = Array.from({ length: 40 }, (_, i) => ((i * 7919 + 13) % 900) + 20);

const cases = [
  { shape: "tiny-llama", type: "F32", dtype: "fp32", graphName: "model.onnx", logitsToKeep: false },
  { shape: "tiny-llama", type: "Q4_0", dtype: "q4", graphName: "model_q4.onnx", logitsToKeep: true },
  { shape: "tiny-qwen2", type: "Q4_0", dtype: "q4", graphName: "model_q4.onnx", logitsToKeep: false },
] as const satisfies readonly { readonly shape: ShapeName; readonly [key: string]: unknown }[];

async function byTransformers(folder: string, dtype: "fp32" | "q4"): Promise<readonly number[]> {
  env.allowRemoteModels = false;
  env.localModelPath = dirname(folder);
  const model = await AutoModelForCausalLM.from_pretrained(basename(folder), { dtype, device: "cpu" });
  const inputs = new Tensor("int64", BigInt64Array.from(PROMPT, BigInt), [1, PROMPT.length]);
  const output = (await model.generate({
    inputs,
    max_new_tokens: NEW_TOKENS,
    min_new_tokens: NEW_TOKENS,
    do_sample: false,
  } as never)) as Tensor;
  await model.dispose();
  return Array.from(output.data as BigInt64Array, Number);
}

function byAdapter(folder: string): readonly number[] {
  const source = openImport(folder);
  if (source.kind !== "onnx") throw new Error("the directory was not taken for an exported graph");
  const runner = new DecoderRunner({
    graphPath: source.path,
    layout: source.decoder.layout,
    arena: { geometry: source.geometry, precision: "f32", slots: 2, capacity: 128 },
    chunkTokensMax: 16,
    session: { threads: 2, spinning: true },
  });
  const ids = [...PROMPT];
  let [logits] = runner.prefill(0, 0, ids, [ids.length - 1]);
  while (ids.length < PROMPT.length + NEW_TOKENS) {
    const row = logits as Float32Array;
    // No end token, as min_new_tokens has it on the other side.
    for (const end of source.endTokens) row[end] = Number.NEGATIVE_INFINITY;
    ids.push(row.indexOf(Math.max(...row)));
    [logits] = runner.decode([ids.at(-1) as number], [ids.length - 1]);
  }
  runner.close();
  return ids;
}

describe.each(cases)("$shape $type as $graphName", ({ shape, type, dtype, graphName, logitsToKeep }) => {
  test("Transformers.js and the adapter write the same tokens", async () => {
    const gguf = join(temporaryFolder(), "model.gguf");
    makeRandomModel({ shape, type, out: gguf, seed: 11 });
    const folder = join(temporaryFolder(), "exported");
    exportModel({ gguf, folder, style: "transformers", graphName, logitsToKeep, accuracyLevel: 4 });
    const expected = await byTransformers(folder, dtype);
    expect(expected).toHaveLength(PROMPT.length + NEW_TOKENS);
    expect(new Set(expected.slice(PROMPT.length)).size).toBeGreaterThan(NEW_TOKENS / 2);
    expect(byAdapter(folder)).toEqual(expected);
  });
});
