/**
 * Transformers.js (the package @xenova/transformers): `generate` of a decoder in ONNX, with the session that the package
 * makes itself. It answers one request at a time, so its rate does not depend on how many ask.
 */
import { AutoModelForCausalLM, env, Tensor } from "@xenova/transformers";
import { clock, randomPrompt } from "../support/served.ts";
import { type Cell, type Measured, type System, WARM_STEPS } from "./system.ts";

export interface TransformersOptions {
  /** As exportForTransformers wrote it. */
  readonly folder: string;
  readonly vocabSize: number;
  readonly threads: number;
}

type Model = Awaited<ReturnType<typeof AutoModelForCausalLM.from_pretrained>>;

export async function openTransformers(options: TransformersOptions): Promise<System> {
  const { folder, vocabSize, threads } = options;
  env.allowRemoteModels = false;
  const model = await AutoModelForCausalLM.from_pretrained(folder, {
    local_files_only: true,
    // Says which file is taken (model.onnx) and that the cache is f32; the weights are as they were compiled.
    dtype: "fp32",
    device: "cpu",
    session_options: { intraOpNumThreads: threads, interOpNumThreads: 1 },
  });
  return {
    name: "Transformers.js",
    engine: "transformers",
    settings: "f32 cache, one request at a time, the same layers and weights in ONNX",
    can: (cell) => cell.kind === "prefill" || cell.rows === 1,
    measure: (cell) => measure(model, cell, vocabSize),
    close: async () => {
      await model.dispose();
    },
  };
}

async function measure(model: Model, cell: Cell, vocabSize: number): Promise<Measured> {
  const decode = cell.kind === "decode";
  const length = decode ? cell.context : cell.tokens;
  const tokens = decode ? WARM_STEPS + cell.steps + 1 : 1;
  const { started, arrived } = await timesOf(model, randomPrompt(0, length, vocabSize), tokens);
  if (arrived.length !== tokens)
    throw new Error(`Transformers.js gave ${arrived.length} tokens, not ${tokens}`);
  const [from, to] = decode
    ? [arrived[WARM_STEPS] as number, arrived.at(-1) as number]
    : [started, arrived[0] as number];
  const count = decode ? cell.steps : length;
  return { tokensPerSecond: (1000 * count) / (to - from), insidePerSecond: undefined };
}

/** When the request began, and when each token of the answer was there, in ms. */
async function timesOf(
  model: Model,
  prompt: readonly number[],
  maxTokens: number,
): Promise<{ readonly started: number; readonly arrived: readonly number[] }> {
  const inputs = new Tensor("int64", BigInt64Array.from(prompt, BigInt), [1, prompt.length]);
  const arrived: number[] = [];
  let calls = 0;
  const streamer = {
    // The first call shows the prompt.
    put: () => {
      if (calls > 0) arrived.push(clock.now());
      calls += 1;
    },
    end: () => undefined,
  };
  const started = clock.now();
  await model.generate({ inputs, max_new_tokens: maxTokens, do_sample: false, streamer } as never);
  return { started, arrived };
}
