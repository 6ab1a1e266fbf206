/**
 * One model, stepped the same way by two engines: a batch of prompts, then one given token a row and step. What comes back
 * is each row's greedy choice, so that texts can be written by one engine and judged by the other.
 */
import {
  getLlama,
  type Llama,
  type LlamaContextSequence,
  LlamaLogLevel,
  type LlamaModel,
  type Token,
} from "node-llama-cpp";
import { DecoderRunner } from "../../engine/worker/runner.ts";
import type { CompiledModel } from "./compiled.ts";

/** The likeliest token after some text, and how far its logit is above the runner-up's. */
export interface Choice {
  readonly token: number;
  readonly margin: number;
}

export interface Stepper {
  /** Computes the prompts, a row each, from an empty cache; the choices after their last tokens. */
  start(prompts: readonly (readonly number[])[]): Promise<readonly Choice[]>;
  /** Computes one more token for each row; the choices after them. */
  step(tokens: readonly number[]): Promise<readonly Choice[]>;
  close(): Promise<void>;
}

export interface StepperSize {
  readonly rows: number;
  /** Prompt and answer together, in tokens. */
  readonly context: number;
  readonly threads: number;
}

export interface LlamaSettings {
  readonly cache: "F32" | "F16";
  readonly flashAttention: boolean;
}

/** The prebuilt library for CPUs; it is neither compiled nor downloaded. */
export const openLlama = (): Promise<Llama> =>
  getLlama({
    gpu: false,
    build: "never",
    skipDownload: true,
    progressLogs: false,
    logLevel: LlamaLogLevel.error,
    // No sharing of threads between contexts: each takes what it is given.
    maxThreads: 0,
  });

export async function llamaStepper(
  model: LlamaModel,
  { cache, flashAttention }: LlamaSettings,
  { rows, context, threads }: StepperSize,
): Promise<Stepper> {
  const made = await model.createContext({
    sequences: rows,
    contextSize: context,
    batchSize: Math.max(512, rows),
    threads,
    flashAttention,
    experimentalKvCacheKeyType: cache,
    experimentalKvCacheValueType: cache,
  });
  const sequences = Array.from({ length: rows }, () => made.getSequence());
  return {
    async start(prompts) {
      await Promise.all(sequences.map((sequence) => sequence.clearHistory()));
      return Promise.all(sequences.map((sequence, row) => llamaChoice(sequence, prompts[row] ?? [])));
    },
    step: (tokens) =>
      Promise.all(sequences.map((sequence, row) => llamaChoice(sequence, [tokens[row] as number]))),
    close: () => made.dispose(),
  };
}

/** Adds no token of its own: what is computed is exactly what is given. */
async function llamaChoice(sequence: LlamaContextSequence, tokens: readonly number[]): Promise<Choice> {
  const last = tokens.length - 1;
  const results = await sequence.controlledEvaluate(
    tokens.map((token, index) =>
      index < last
        ? (token as Token)
        : [token as Token, { generateNext: { logits: { filter: { tokens: [], includeTop: 2 } } } }],
    ),
  );
  const [best, second] = [...(results[last]?.next.logits ?? [])];
  if (best === undefined || second === undefined) throw new Error("llama.cpp gave no logits");
  return { token: best[0], margin: best[1] - second[1] };
}

/** With the padding that is served: no kernel for single rows. */
export function weirStepper(model: CompiledModel, { rows, context, threads }: StepperSize): Stepper {
  const { graphPath, geometry, kv } = model.lane("f32");
  const runner = new DecoderRunner({
    graphPath,
    arena: { geometry, precision: kv, slots: rows + 1, capacity: context + 1 },
    chunkTokensMax: context,
    session: { threads, spinning: false },
  });
  let lengths: number[] = [];
  return {
    start: async (prompts) => {
      lengths = prompts.map((prompt) => prompt.length);
      return prompts.map((prompt, row) => {
        runner.clear(row);
        return choose(runner.prefill(row, 0, prompt, [prompt.length - 1])[0] as Float32Array);
      });
    },
    step: async (tokens) => {
      const choices = runner.decode(tokens, lengths).map(choose);
      lengths = lengths.map((length) => length + 1);
      return choices;
    },
    close: async () => runner.close(),
  };
}

/** The first of the largest logits. */
function choose(logits: Float32Array): Choice {
  let token = 0;
  let best = Number.NEGATIVE_INFINITY;
  let second = Number.NEGATIVE_INFINITY;
  for (const [index, logit] of logits.entries()) {
    if (logit > best) {
      second = best;
      best = logit;
      token = index;
    } else if (logit > second) second = logit;
  }
  return { token, margin: best - second };
}
