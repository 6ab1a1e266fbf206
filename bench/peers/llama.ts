/** llama.cpp through node-llama-cpp: all rows in one context, one batch a step, flash attention, the cache as given. */
import {
  getLlama,
  type Llama,
  type LlamaContext,
  type LlamaContextSequence,
  LlamaLogLevel,
  type LlamaModel,
  type Token,
} from "node-llama-cpp";
import { clock, randomPrompt } from "../support/served.ts";
import { type Cell, type Measured, positionsOf, type System, WARM_STEPS } from "./system.ts";

export type LlamaCache = "F16" | "Q8_0";

export interface LlamaOptions {
  readonly cache: LlamaCache;
  readonly vocabSize: number;
  readonly threads: number;
  readonly cells: readonly Cell[];
}

export interface OpenedLlama {
  readonly llama: Llama;
  readonly model: LlamaModel;
}

/** The prebuilt library for CPUs; it is neither compiled nor downloaded. It picks the kernels for this CPU by itself. */
export async function openLlamaModel(gguf: string): Promise<OpenedLlama> {
  const llama = await getLlama({
    ...{ gpu: false, build: "never", skipDownload: true, progressLogs: false },
    logLevel: LlamaLogLevel.error,
    // No sharing of threads between contexts: each takes what it is given.
    maxThreads: 0,
  });
  return { llama, model: await llama.loadModel({ modelPath: gguf, gpuLayers: 0 }) };
}

/** What a user would set for 512-token prompts; it is the library's default too. */
const BATCH = 512;

type DecodeCell = Extract<Cell, { kind: "decode" }>;
interface Filled {
  readonly counted: Counted;
  readonly sequences: readonly LlamaContextSequence[];
}

export async function openLlamaSystem(model: LlamaModel, options: LlamaOptions): Promise<System> {
  const { cells, cache, vocabSize } = options;
  const decodes = cells.filter((cell): cell is DecodeCell => cell.kind === "decode");
  const filled = new Map<number, Filled>();
  for (const context of new Set(decodes.map((cell) => cell.context))) {
    const same = decodes.filter((cell) => cell.context === context);
    const rows = Math.max(...same.map((cell) => cell.rows));
    const one = await open(model, options, rows, Math.max(...same.map(positionsOf)));
    for (const [row, sequence] of one.sequences.entries())
      await sequence.evaluateWithoutGeneratingNewTokens(tokensOf(row, context, vocabSize));
    filled.set(context, one);
  }
  const prompts = await open(model, options, 1, Math.max(...cells.map(positionsOf)));
  return {
    name: `llama.cpp, ${cache} cache`,
    engine: "llama",
    settings: `${cache} cache, flash attention, batch ${BATCH}`,
    can: () => true,
    measure: (cell) => {
      if (cell.kind === "prefill") return prefill(prompts, cell.tokens, vocabSize);
      const one = filled.get(cell.context);
      if (one === undefined) throw new Error(`no context of ${cell.context} tokens is there`);
      return decode(one, cell, vocabSize);
    },
    close: async () => {
      for (const { counted } of [...filled.values(), prompts]) await counted.context.dispose();
    },
  };
}

async function open(
  model: LlamaModel,
  { cache, threads }: LlamaOptions,
  rows: number,
  positions: number,
): Promise<Filled> {
  const context = await model.createContext({
    sequences: rows,
    contextSize: positions + 1,
    batchSize: BATCH,
    threads,
    flashAttention: true,
    experimentalKvCacheKeyType: cache,
    experimentalKvCacheValueType: cache,
  });
  return {
    counted: new Counted(context),
    sequences: Array.from({ length: rows }, () => context.getSequence()),
  };
}

const tokensOf = (row: number, length: number, vocabSize: number): Token[] =>
  randomPrompt(row, length, vocabSize).map((token) => token as number as Token);

async function decode(
  { counted, sequences }: Filled,
  { context, rows, steps }: DecodeCell,
  vocabSize: number,
): Promise<Measured> {
  const streams: AsyncGenerator<Token>[] = [];
  for (const [row, sequence] of sequences.slice(0, rows).entries()) {
    const { nextTokenIndex } = sequence;
    if (nextTokenIndex > context)
      await sequence.eraseContextTokenRanges([{ start: context, end: nextTokenIndex }]);
    const [next] = tokensOf(row, context + 1, vocabSize).slice(-1);
    streams.push(sequence.evaluate([next as Token], { temperature: 0, yieldEogToken: true }));
  }
  // All rows ask before any is answered: so each step is one batch of all rows, the best that the library can do.
  const step = (): Promise<unknown> => Promise.all(streams.map((stream) => stream.next()));
  for (let index = 0; index < WARM_STEPS; index += 1) await step();
  counted.reset();
  const start = clock.now();
  for (let index = 0; index < steps; index += 1) await step();
  const seconds = (clock.now() - start) / 1000;
  const { batches, insideMs } = counted;
  await Promise.all(streams.map((stream) => stream.return(undefined)));
  if (batches !== steps)
    throw new Error(`llama.cpp took ${batches} batches for ${steps} steps of ${rows} rows`);
  return { tokensPerSecond: (rows * steps) / seconds, insidePerSecond: (1000 * rows * steps) / insideMs };
}

async function prefill({ counted, sequences }: Filled, tokens: number, vocabSize: number): Promise<Measured> {
  const [sequence] = sequences;
  if (sequence === undefined) throw new Error("a context has at least one sequence");
  await sequence.clearHistory();
  const prompt = tokensOf(0, tokens, vocabSize);
  counted.reset();
  const start = clock.now();
  const stream = sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true });
  await stream.next();
  const seconds = (clock.now() - start) / 1000;
  const { insideMs } = counted;
  await stream.return(undefined);
  return { tokensPerSecond: tokens / seconds, insidePerSecond: (1000 * tokens) / insideMs };
}

/** Counts the calls of llama_decode and their time, from where node-llama-cpp starts one to where it has ended. */
class Counted {
  readonly context: LlamaContext;
  batches = 0;
  insideMs = 0;

  constructor(context: LlamaContext) {
    this.context = context;
    const native = (context as unknown as { readonly _ctx: { decodeBatch: () => Promise<void> } })._ctx;
    const original = native.decodeBatch.bind(native);
    const value = async (): Promise<void> => {
      const start = clock.now();
      await original();
      this.insideMs += clock.now() - start;
      this.batches += 1;
    };
    // The method of the native class is read-only, so the instance gets one of its own.
    Object.defineProperty(native, "decodeBatch", { value });
  }

  reset(): void {
    this.batches = 0;
    this.insideMs = 0;
  }
}
