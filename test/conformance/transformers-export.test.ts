/** The decoder as the peers bench hands it to Transformers.js: the same greedy tokens as in weir, through its `generate`. */
import { join } from "node:path";
import { AutoModelForCausalLM, env, Tensor } from "@xenova/transformers";
import { expect, test } from "vitest";
import { exportForTransformers } from "../../bench/peers/transformers-graph.ts";
import { randomPrompt } from "../../bench/support/served.ts";
import { makeRandomModel } from "../../scripts/make-random-model.ts";
import { compileForTest, temporaryFolder } from "../support/compiled.ts";
import { write } from "../support/llama-agreement.ts";
import { weirStepper } from "../support/llama-stepper.ts";

const TOKENS = 24;
const VOCABULARY = 1024;

test.each(["tiny-llama", "tiny-qwen3"] as const)(
  "a %s in F32 writes the same tokens in Transformers.js as in weir",
  async (shape) => {
    const path = join(temporaryFolder(), "model.gguf");
    makeRandomModel({ shape, type: "F32", out: path, vocab: VOCABULARY });
    const compiled = await compileForTest(path);
    const prompt = randomPrompt(3, 21, VOCABULARY);
    const weir = weirStepper(compiled, { rows: 1, context: 64, threads: 1 });
    const expected = (await write(weir, [prompt], TOKENS)).map(([choice]) => choice?.token);
    await weir.close();
    env.allowRemoteModels = false;
    const model = await AutoModelForCausalLM.from_pretrained(
      exportForTransformers(compiled.folder, compiled.manifest),
      {
        local_files_only: true,
        dtype: "fp32",
        device: "cpu",
        session_options: { intraOpNumThreads: 1 },
      },
    );
    const inputs = new Tensor("int64", BigInt64Array.from(prompt, BigInt), [1, prompt.length]);
    const answer = await model.generate({ inputs, max_new_tokens: TOKENS, do_sample: false } as never);
    await model.dispose();
    const ids = [...((answer as Tensor).data as BigInt64Array)].map(Number);
    expect(ids.slice(prompt.length)).toEqual(expected);
    expect(new Set(expected).size, "the answer is no loop of one token").toBeGreaterThan(4);
  },
);
