/** `weir.json`: what an installed model says of itself. The schema is the type. */
import { z } from "zod";

const positive = z
  .int()
  .min(1)
  .max(2 ** 31);
const token = z
  .int()
  .min(0)
  .max(2 ** 31);
const digest = z.string().regex(/^[0-9a-f]{64}$/);

const ManifestFile = z.strictObject({
  /** Relative to the model's folder; never outside it. */
  name: z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/),
  bytes: z.int().min(0),
  sha256: digest,
});

export const Manifest = z.strictObject({
  weir: z.literal(1),
  name: z.string().min(1).max(128),
  architecture: z.string().min(1),
  geometry: z.strictObject({
    layers: positive,
    hidden: positive,
    heads: positive,
    kvHeads: positive,
    headDim: positive,
    vocabSize: positive,
  }),
  /** A slot must hold a prompt token and an answer token. */
  contextLength: z
    .int()
    .min(2)
    .max(2 ** 31),
  /** What the graph takes and gives; absent: it was compiled by weir. */
  graph: z
    .strictObject({ kind: z.literal("masked"), positionIds: z.boolean(), logitsToKeep: z.boolean() })
    .optional(),
  precision: z.strictObject({
    weights: z.enum(["q4", "q8", "f32"]),
    /** Elements that share a scale; 0 for f32. */
    block: z.literal([0, 16, 32, 64, 128, 256]),
    /** True where the compiled weights equal the source's bit for bit after dequantising. */
    lossless: z.boolean(),
    /** Tensors of the source in blocks that no kernel takes, by type: how many became what, and how far they moved. */
    requantised: z
      .array(
        z.strictObject({
          type: z.enum(["Q4_K", "Q5_K", "Q6_K"]),
          tensors: positive,
          weights: z.enum(["q4", "q8"]),
          block: z.union([z.literal(32), z.literal(64), z.literal(128)]),
          /** Root mean square of the change over that of the values. */
          error: z.number().min(0),
        }),
      )
      .optional(),
    /** The cache that is used unless the configuration says otherwise. */
    kv: z.enum(["f32", "int8"]),
    /** One pair of scales a layer; empty where there is no int8 graph. */
    kvScales: z.array(z.strictObject({ key: z.number().positive(), value: z.number().positive() })),
    /** Mean negative log-likelihood in nats a token on held-out text with either cache, where it was measured. */
    nll: z.strictObject({ f32: z.number(), int8: z.number(), tokens: positive }).optional(),
  }),
  tokens: z.strictObject({ bos: token.nullable(), end: z.array(token) }),
  source: z.strictObject({
    kind: z.enum(["gguf", "safetensors", "onnx"]),
    /** File names only, no folders. */
    files: z.array(z.strictObject({ name: z.string(), bytes: z.int().min(0), sha256: digest })),
    /** sha256 over the dequantised f32 tensors in name order: equal for equal weights, whatever the format. */
    weightsDigest: digest.optional(),
    origin: z.string().optional(),
  }),
  licence: z.string().optional(),
  hasChatTemplate: z.boolean(),
  createdAt: z.int(),
  compiler: z.string(),
  files: z.array(ManifestFile),
});
export type Manifest = z.infer<typeof Manifest>;

export const MANIFEST_NAME = "weir.json";
export const GRAPH_NAME = "model.onnx";
/** The same decoder with an int8 cache; present where the cache was calibrated. */
export const INT8_GRAPH_NAME = "model.int8.onnx";
/** The same decoder for steps that decode rows and compute a chunk in one run. */
export const SHARED_GRAPH_NAME = "model.shared.onnx";
/** The same with an int8 cache for the rows and an f32 cache for the chunk. */
export const STAGED_INT8_GRAPH_NAME = "model.int8.staged.onnx";
/** Where each matrix lies in the weights file. */
export const LAYOUT_NAME = "layout.json";
export const WEIGHTS_NAME = "model.onnx.data";
export const TOKENIZER_NAME = "tokenizer.json";
export const TOKENIZER_CONFIG_NAME = "tokenizer_config.json";
