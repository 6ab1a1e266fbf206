/**
 * The same GGUF in weir and in llama.cpp (through node-llama-cpp), both with an f32 cache: 20 prompts, 64 greedy tokens
 * each, written by llama.cpp and judged by weir token for token. After a miss the judge goes on with the author's token.
 *
 * F32 weights: at least 99 % equal. Quantised weights: both engines round activations to eight bits, each in its own way
 * (llama.cpp keeps their scales as f16), and a random model decides many tokens by hundredths of a logit. So the measure is
 * llama.cpp itself: how often do its usual settings (f16 cache, flash attention) choose what its exact ones (f32 cache,
 * none) did? Two causes of rounding are compared here, equal in size: weir must not be worse beyond what chance explains.
 */
import { join } from "node:path";
import type { Llama } from "node-llama-cpp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { uniform } from "../../engine/core/random.ts";
import { makeRandomModel, type ShapeName } from "../../scripts/make-random-model.ts";
import { compileForTest, temporaryFolder } from "../support/compiled.ts";
import {
  type Agreement,
  describeAgreement,
  excess,
  judge,
  medianMargin,
  shareEqual,
  write,
} from "../support/llama-agreement.ts";
import { llamaStepper, openLlama, type StepperSize, weirStepper } from "../support/llama-stepper.ts";

const PROMPTS = 20;
const STEPS = 64;
const LAYERS = 6;
const VOCABULARY = 1024;
/** One thread: on a busy machine the threads of so small a model would only wait for one another. */
const SIZE: StepperSize = { rows: PROMPTS, context: 128, threads: 1 };
/** In standard errors: one case of six, and all of them together. */
const EXCESS_MAX = { one: 3, all: 2 };

/** Lengths 8 to 46, so that decoding rows are ragged. */
const prompts = Array.from({ length: PROMPTS }, (_, row) =>
  Array.from({ length: 8 + 2 * row }, (__, position) =>
    Math.floor(uniform(row, position) * (VOCABULARY - 24)),
  ),
);

interface Parity {
  readonly weir: Agreement;
  /** llama.cpp's usual settings, judging the text of its exact ones. */
  readonly usual: Agreement;
  readonly medianMargin: number;
  readonly differentTokens: number;
}

let llama: Llama;
beforeAll(async () => {
  llama = await openLlama();
});
afterAll(() => llama.dispose());

async function parity(shape: ShapeName, type: "F32" | "Q8_0" | "Q4_0"): Promise<Parity> {
  const path = join(temporaryFolder(), "model.gguf");
  makeRandomModel({ shape, type, out: path, seed: 11, layers: LAYERS, vocab: VOCABULARY });
  const compiled = await compileForTest(path, { kv: "f32" });
  const model = await llama.loadModel({ modelPath: path, gpuLayers: 0 });
  const exact = await llamaStepper(model, { cache: "F32", flashAttention: false }, SIZE);
  const usual = await llamaStepper(model, { cache: "F16", flashAttention: true }, SIZE);
  const weir = weirStepper(compiled, SIZE);
  try {
    const text = await write(exact, prompts, STEPS);
    return {
      weir: await judge(weir, prompts, text),
      usual: await judge(usual, prompts, text),
      medianMargin: medianMargin(text),
      differentTokens: new Set(text.flat().map(({ token }) => token)).size,
    };
  } finally {
    await Promise.all([weir, exact, usual].map((stepper) => stepper.close()));
    await model.dispose();
  }
}

function report(name: string, { weir, usual, medianMargin: median }: Parity): void {
  console.info(
    `${name}, against llama.cpp with exact settings (the choice is ahead by ${median.toFixed(3)} in the median)\n` +
      `  weir:                       ${describeAgreement(weir)}\n` +
      `  llama.cpp, usual settings:  ${describeAgreement(usual)}`,
  );
}

const SHAPES = ["tiny-llama", "tiny-qwen2", "tiny-qwen3"] as const;
const quantised: Parity[] = [];

describe.each(SHAPES)("%s", (shape) => {
  test("with F32 weights chooses the tokens of llama.cpp, 99 % or more", async () => {
    const found = await parity(shape, "F32");
    report(`${shape} F32`, found);
    expect(found.weir.tokens).toBe(PROMPTS * STEPS);
    expect(found.differentTokens, "the texts are no loops of a few tokens").toBeGreaterThan(100);
    expect(shareEqual(found.weir)).toBeGreaterThanOrEqual(0.99);
  });

  test.each(["Q8_0", "Q4_0"] as const)(
    "with %s weights agrees with llama.cpp as well as llama.cpp with itself",
    async (type) => {
      const found = await parity(shape, type);
      quantised.push(found);
      report(`${shape} ${type}`, found);
      expect(found.weir.tokens).toBe(PROMPTS * STEPS);
      expect(excess([[found.weir, found.usual]])).toBeLessThan(EXCESS_MAX.one);
    },
  );
});

test("over all quantised models weir agrees with llama.cpp as well as llama.cpp with itself", () => {
  expect(quantised.length).toBe(2 * SHAPES.length);
  const beyond = excess(quantised.map(({ weir, usual }) => [weir, usual]));
  const misses = (side: "weir" | "usual"): number =>
    quantised.reduce((sum, found) => sum + found[side].misses.size, 0);
  console.info(
    `all quantised: weir misses ${misses("weir")} of ${quantised.length * PROMPTS * STEPS} tokens, ` +
      `llama.cpp's usual settings ${misses("usual")}; ${beyond.toFixed(2)} standard errors apart`,
  );
  expect(beyond).toBeLessThan(EXCESS_MAX.all);
});
