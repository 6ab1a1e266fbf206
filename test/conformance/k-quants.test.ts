/**
 * The same GGUF of K-quants in weir and in llama.cpp (through node-llama-cpp), both with an f32 cache: all logits of every
 * position of a prompt, compared as numbers. weir has the file imported with `--quant f32`: its values exactly, and
 * products in single precision.
 *
 * An embedding is only looked up, so a model with K-quants there and F32 elsewhere must give the very same logits: this
 * shows every value to be read as llama.cpp reads it.
 *
 * In the other matrices llama.cpp rounds too: before each product with a K-quant it brings the activations to Q8_K, 8 bits
 * with one scale for 256 of them. That moves a product by somewhat under 1 % (for values of normal spread, a step is the
 * largest of 256, 2.8, over 127, and rounds by 1/√12 of it: 0.6 %), and the logits of one layer, behind seven products, a
 * softmax of gained scores and a gate, by 2.4 % of their size (measured, alike for every type). Wrong weights move them by
 * their whole size.
 */
import { join } from "node:path";
import type { Llama, Token } from "node-llama-cpp";
import { afterAll, beforeAll, expect, test } from "vitest";
import { uniform } from "../../engine/core/random.ts";
import { DecoderRunner } from "../../engine/worker/runner.ts";
import type { KType } from "../../models/source.ts";
import { makeRandomModel } from "../../scripts/make-random-model.ts";
import type { WeightType } from "../../scripts/weight-types.ts";
import { compileForTest, temporaryFolder } from "../support/compiled.ts";
import { openLlama } from "../support/llama-stepper.ts";

const VOCABULARY = 1024;
const LENGTH = 32;
const prompt = Array.from({ length: LENGTH }, (_, position) =>
  Math.floor(uniform(5, position) * (VOCABULARY - 24)),
);

/** Of the root mean square of the differences, over that of the logits; exact leaves room for another order of sums. */
const TOLERANCE = { rounded: 0.04, exact: 1e-5 };

let llama: Llama;
beforeAll(async () => {
  llama = await openLlama();
});
afterAll(() => llama.dispose());

function makeModel(type: WeightType, embedding: { readonly embeddingType?: KType } = {}): string {
  const out = join(temporaryFolder(), "model.gguf");
  const options = { shape: "tiny-llama-256", out, seed: 3, layers: 1, vocab: VOCABULARY } as const;
  makeRandomModel({ ...options, type, ...embedding });
  return out;
}

/** [position][token]; one thread, since on a busy machine several would only wait for one another. */
type Logits = readonly Float32Array[];

async function llamaLogits(path: string): Promise<Logits> {
  const model = await llama.loadModel({ modelPath: path, gpuLayers: 0 });
  const context = await model.createContext({
    sequences: 1,
    contextSize: 2 * LENGTH,
    threads: 1,
    flashAttention: false,
    experimentalKvCacheKeyType: "F32",
    experimentalKvCacheValueType: "F32",
  });
  const results = await context
    .getSequence()
    .controlledEvaluate(prompt.map((token) => [token as Token, { generateNext: { logits: true } }]));
  const rows = results.map((result) => {
    const row = new Float32Array(VOCABULARY).fill(Number.NaN);
    for (const [token, logit] of result?.next.logits ?? []) row[token] = logit;
    return row;
  });
  await context.dispose();
  await model.dispose();
  return rows;
}

async function weirLogits(path: string, quant: "f32" | "q4" | undefined): Promise<Logits> {
  const compiled = await compileForTest(path, { quant, kv: "f32" });
  const { graphPath, geometry, kv } = compiled.lane("f32");
  const runner = new DecoderRunner({
    graphPath,
    arena: { geometry, precision: kv, slots: 2, capacity: 2 * LENGTH },
    chunkTokensMax: LENGTH,
    session: { threads: 1, spinning: false },
  });
  const rows = runner.prefill(0, 0, prompt, [...prompt.keys()]).map((row) => row.slice());
  runner.close();
  return rows;
}

/** Root mean square of the differences, over that of `b`. */
function distance(a: Logits, b: Logits): number {
  let apart = 0;
  let size = 0;
  for (const [row, values] of b.entries()) {
    for (const [token, value] of values.entries()) {
      apart += ((a[row]?.[token] as number) - value) ** 2;
      size += value ** 2;
    }
  }
  return Math.sqrt(apart / size);
}

const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;

test.each(["Q4_K", "Q5_K", "Q6_K"] as const)(
  "with an embedding of %s, and F32 elsewhere, both have the same logits",
  async (embeddingType) => {
    const path = makeModel("F32", { embeddingType });
    expect(distance(await llamaLogits(path), await weirLogits(path, "f32"))).toBeLessThan(TOLERANCE.exact);
  },
);

test.each(["Q4_K", "Q5_K", "Q6_K", "Q4_K_M"] as const)(
  "a file of %s has the logits of llama.cpp, but for the activations that llama.cpp rounds",
  async (type) => {
    const path = makeModel(type);
    const exact = await weirLogits(path, "f32");
    const apart = distance(await llamaLogits(path), exact);
    const kept = distance(await weirLogits(path, undefined), exact);
    const small = distance(await weirLogits(path, "q4"), exact);
    console.info(
      `${type}, logits away from those of the exact weights: llama.cpp ${percent(apart)}, ` +
        `imported as it comes (8 bits) ${percent(kept)}, with --quant q4 ${percent(small)}`,
    );
    expect(apart).toBeLessThan(TOLERANCE.rounded);
    // weir then rounds activations as well, and weights once more: its default is of llama.cpp's own quality.
    expect(kept).toBeLessThan(2 * apart);
    expect(small).toBeGreaterThan(5 * kept);
  },
);
