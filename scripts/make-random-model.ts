/**
 * Writes a GGUF of random weights in the shape of a real model, for tests of numbers and benches of speed.
 *
 *   node scripts/make-random-model.ts --shape smollm2-135m --type Q4_0 --out FILE [--seed N] [--layers N] [--vocab N]
 *
 * The same options give the same bytes on every machine. The file is a whole model: it also loads in llama.cpp.
 */
import { parseArgs } from "node:util";
import { type GgufValue, type TensorToWrite, writeGguf } from "../models/formats/gguf-writer.ts";
import type { TensorType } from "../models/source.ts";
import { randomVocabulary, type VocabularyOptions } from "./random-vocabulary.ts";
import { EMBEDDING, FILE_TYPE, HEAD, typeOf, type WeightType } from "./weight-types.ts";

interface Shape {
  readonly architecture: "llama" | "qwen2" | "qwen3";
  readonly layers: number;
  readonly hidden: number;
  readonly feedForward: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocab: number;
  readonly context: number;
  readonly ropeBase: number;
  readonly epsilon: number;
  readonly pre: VocabularyOptions["pre"];
}

const llama = {
  architecture: "llama",
  headDim: 64,
  ropeBase: 100_000,
  epsilon: 1e-5,
  pre: "smollm",
} as const;
const qwen2 = {
  architecture: "qwen2",
  headDim: 64,
  ropeBase: 1_000_000,
  epsilon: 1e-6,
  pre: "qwen2",
} as const;
const qwen3 = { ...qwen2, architecture: "qwen3", headDim: 128 } as const;
const tiny = {
  layers: 3,
  hidden: 128,
  feedForward: 384,
  heads: 4,
  kvHeads: 2,
  vocab: 1024,
  context: 2048,
} as const;

/** Real ones: config.json of HuggingFaceTB/SmolLM2-135M and -360M, Qwen/Qwen2.5-0.5B, Qwen/Qwen3-0.6B; all tie embeddings. */
export const SHAPES = {
  "smollm2-135m": {
    ...{ ...llama, layers: 30, hidden: 576, feedForward: 1536, heads: 9, kvHeads: 3 },
    ...{ vocab: 49_152, context: 8192 },
  },
  "smollm2-360m": {
    ...{ ...llama, layers: 32, hidden: 960, feedForward: 2560, heads: 15, kvHeads: 5 },
    ...{ vocab: 49_152, context: 8192 },
  },
  "qwen2.5-0.5b": {
    ...{ ...qwen2, layers: 24, hidden: 896, feedForward: 4864, heads: 14, kvHeads: 2 },
    ...{ vocab: 151_936, context: 32_768 },
  },
  "qwen3-0.6b": {
    ...{ ...qwen3, layers: 28, hidden: 1024, feedForward: 3072, heads: 16, kvHeads: 8 },
    ...{ vocab: 151_936, context: 40_960 },
  },
  "tiny-llama": { ...llama, ...tiny, headDim: 32, pre: "gpt-2" },
  // Every width is a multiple of 256, as the K-quants need it.
  "tiny-llama-256": { ...llama, ...tiny, hidden: 256, feedForward: 512, pre: "gpt-2" },
  "tiny-qwen2": { ...qwen2, ...tiny, headDim: 32 },
  // Heads wider than hidden / heads, as in the real one.
  "tiny-qwen3": { ...qwen3, ...tiny, headDim: 64 },
} as const satisfies Record<string, Shape>;
export type ShapeName = keyof typeof SHAPES;

export interface RandomModelOptions {
  readonly shape: ShapeName;
  /** Of all matrices and the embedding, or the recipe that chooses them; norms and biases are F32. */
  readonly type: WeightType;
  /** Gives the embedding a type of its own, and the output a matrix of its own of `type`; else both are one. */
  readonly embeddingType?: TensorType;
  readonly out: string;
  readonly seed?: number;
  readonly layers?: number;
  readonly vocab?: number;
}

export function makeRandomModel(options: RandomModelOptions): void {
  const named: Shape = SHAPES[options.shape];
  const shape: Shape = {
    ...named,
    layers: options.layers ?? named.layers,
    vocab: options.vocab ?? named.vocab,
  };
  const metadata = [...geometry(options, shape), ...randomVocabulary({ size: shape.vocab, pre: shape.pre })];
  writeGguf(options.out, metadata, tensors(shape, options));
}

function geometry(options: RandomModelOptions, shape: Shape): readonly (readonly [string, GgufValue])[] {
  const { architecture } = shape;
  const text = (value: string): GgufValue => ({ type: "string", value });
  const count = (value: number): GgufValue => ({ type: "uint32", value });
  const real = (value: number): GgufValue => ({ type: "float32", value });
  return [
    ["general.architecture", text(architecture)],
    ["general.type", text("model")],
    ["general.name", text(`random weights, ${options.shape}, seed ${options.seed ?? 1}`)],
    ["general.file_type", count(FILE_TYPE[options.type])],
    ["general.quantization_version", count(2)],
    [`${architecture}.vocab_size`, count(shape.vocab)],
    [`${architecture}.context_length`, count(shape.context)],
    [`${architecture}.embedding_length`, count(shape.hidden)],
    [`${architecture}.block_count`, count(shape.layers)],
    [`${architecture}.feed_forward_length`, count(shape.feedForward)],
    [`${architecture}.attention.head_count`, count(shape.heads)],
    [`${architecture}.attention.head_count_kv`, count(shape.kvHeads)],
    [`${architecture}.attention.key_length`, count(shape.headDim)],
    [`${architecture}.attention.value_length`, count(shape.headDim)],
    [`${architecture}.attention.layer_norm_rms_epsilon`, real(shape.epsilon)],
    [`${architecture}.rope.dimension_count`, count(shape.headDim)],
    [`${architecture}.rope.freq_base`, real(shape.ropeBase)],
  ];
}

/** Of the embedding, as real models begin with. */
const EMBEDDING_SPREAD = 0.02;
/** Of queries and keys over an even spread: attention chooses, instead of averaging the whole text. */
const ATTENTION_GAIN = 1.5;
/** Of the logits. */
const LOGIT_SPREAD = 3;

/**
 * Matrices spread by 1/√fan-in, so that every product keeps the size of its input. The embedding is small against what
 * the layers add: being tied to the output, it would else make every token its own likeliest successor.
 */
function tensors(shape: Shape, { type, embeddingType, seed = 1 }: RandomModelOptions): TensorToWrite[] {
  const { hidden, feedForward, heads, kvHeads, headDim, layers, vocab } = shape;
  const matrix = (name: string, outputs: number, inputs: number, gain = 1): TensorToWrite =>
    random(name, typeOf(name, type, layers), [outputs, inputs], seed, {
      mean: 0,
      spread: gain / Math.sqrt(inputs),
    });
  const vocabulary = (name: string, stored: TensorType): TensorToWrite =>
    random(name, stored, [vocab, hidden], seed, { mean: 0, spread: EMBEDDING_SPREAD });
  const norm = (name: string, size: number, mean = 1): TensorToWrite =>
    random(name, "F32", [size], seed, { mean, spread: 0.05 * mean });
  const bias = (name: string, size: number): TensorToWrite =>
    random(name, "F32", [size], seed, { mean: 0, spread: 0.3 });
  const layer = (index: number): TensorToWrite[] => {
    const at = (name: string): string => `blk.${index}.${name}`;
    return [
      norm(at("attn_norm.weight"), hidden),
      matrix(at("attn_q.weight"), heads * headDim, hidden, ATTENTION_GAIN),
      matrix(at("attn_k.weight"), kvHeads * headDim, hidden, ATTENTION_GAIN),
      matrix(at("attn_v.weight"), kvHeads * headDim, hidden),
      ...(shape.architecture === "qwen2"
        ? [
            bias(at("attn_q.bias"), heads * headDim),
            bias(at("attn_k.bias"), kvHeads * headDim),
            bias(at("attn_v.bias"), kvHeads * headDim),
          ]
        : []),
      ...(shape.architecture === "qwen3"
        ? [
            norm(at("attn_q_norm.weight"), headDim, ATTENTION_GAIN),
            norm(at("attn_k_norm.weight"), headDim, ATTENTION_GAIN),
          ]
        : []),
      matrix(at("attn_output.weight"), hidden, heads * headDim),
      norm(at("ffn_norm.weight"), hidden),
      matrix(at("ffn_gate.weight"), feedForward, hidden),
      matrix(at("ffn_up.weight"), feedForward, hidden),
      matrix(at("ffn_down.weight"), hidden, feedForward),
    ];
  };
  return [
    vocabulary(EMBEDDING, embeddingType ?? typeOf(EMBEDDING, type, layers)),
    ...(embeddingType === undefined ? [] : [vocabulary(HEAD, typeOf(HEAD, type, layers))]),
    norm("output_norm.weight", hidden, LOGIT_SPREAD / (EMBEDDING_SPREAD * Math.sqrt(hidden))),
    ...Array.from({ length: layers }, (_, index) => layer(index)).flat(),
  ];
}

/** Of whole blocks of every type. */
const PIECE = 1 << 18;

function random(
  name: string,
  type: TensorType,
  shape: readonly number[],
  seed: number,
  { mean, spread }: { readonly mean: number; readonly spread: number },
): TensorToWrite {
  function* pieces(): Iterable<Float32Array<ArrayBuffer>> {
    const next = normals(seed, name);
    let left = shape.reduce((product, size) => product * size, 1);
    while (left > 0) {
      const piece = new Float32Array(Math.min(PIECE, left));
      for (let index = 0; index < piece.length; index += 1) piece[index] = mean + spread * next();
      left -= piece.length;
      yield piece;
    }
  }
  return { name, shape, type, pieces };
}

/** Deviation of the sum of four even draws from 0 to 65,535. */
const SUM_MEAN = 2 * 65_535;
const SUM_SPREAD = Math.sqrt((65_536 ** 2 - 1) / 3);

/** Near-normal draws (sums of four even ones): integers and exactly rounded steps only, so the same on every machine. */
function normals(seed: number, name: string): () => number {
  const next = smallFastCounter(seed, name);
  return () => {
    const one = next();
    const two = next();
    return ((one & 0xffff) + (one >>> 16) + (two & 0xffff) + (two >>> 16) - SUM_MEAN) / SUM_SPREAD;
  };
}

/** 32 random bits a call: the generator sfc32 of PractRand, started from the seed and a hash of the name. */
function smallFastCounter(seed: number, name: string): () => number {
  let a = seed | 0;
  let b = 0x811c9dc5;
  for (const byte of Buffer.from(name, "utf8")) b = Math.imul(b ^ byte, 0x01000193);
  let c = 0x9e3779b9 | 0;
  let counter = 1;
  const next = (): number => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  };
  for (let round = 0; round < 16; round += 1) next();
  return next;
}

const TYPES = Object.keys(FILE_TYPE) as readonly WeightType[];

function wholeNumber(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,9}$/.test(text)) throw new Error(`--${name} must be a whole number, not ${text}`);
  return Number(text);
}

function optionsFrom(args: readonly string[]): RandomModelOptions {
  const option = { type: "string" } as const;
  const { values } = parseArgs({
    args: [...args],
    options: { shape: option, type: option, out: option, seed: option, layers: option, vocab: option },
  });
  const shape = (Object.keys(SHAPES) as ShapeName[]).find((name) => name === values.shape);
  const type = TYPES.find((name) => name === (values.type ?? "F32"));
  if (shape === undefined) throw new Error(`--shape must be one of ${Object.keys(SHAPES).join(", ")}`);
  if (type === undefined) throw new Error(`--type must be one of ${TYPES.join(", ")}`);
  if (values.out === undefined) throw new Error("--out must name the file to write");
  const seed = wholeNumber("seed", values.seed);
  const layers = wholeNumber("layers", values.layers);
  const vocab = wholeNumber("vocab", values.vocab);
  return {
    ...{ shape, type, out: values.out },
    ...(seed === undefined ? {} : { seed }),
    ...(layers === undefined ? {} : { layers }),
    ...(vocab === undefined ? {} : { vocab }),
  };
}

if (import.meta.main) {
  try {
    const options = optionsFrom(process.argv.slice(2));
    makeRandomModel(options);
    console.log(`${options.out}: random weights in the shape of ${options.shape}, ${options.type}`);
  } catch (error) {
    console.error((error as Error).message);
    process.exitCode = 1;
  }
}
