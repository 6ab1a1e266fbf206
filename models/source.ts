/** What the compiler reads, whatever file it stands in: named tensors, a configuration, a tokenizer. */

/**
 * Element types that are read without loss. Of GGUF: Q8_0 and Q4_0, blocks of 32 with one f16 scale; Q4_K, Q5_K and Q6_K,
 * blocks of 256 with scales of their own inside.
 */
export type TensorType = "F32" | "F16" | "BF16" | "Q8_0" | "Q4_0" | KType;

/** Types whose blocks no kernel of ours takes: dequantised, then stored in another form. */
export type KType = "Q4_K" | "Q5_K" | "Q6_K";

export interface TensorInfo {
  readonly name: string;
  /** Outermost dimension first, as in numpy (GGUF stores it the other way round; its reader turns it). */
  readonly shape: readonly number[];
  readonly type: TensorType;
  readonly byteLength: number;
}

/** Bytes are read when asked for, never the whole file at once. */
export interface TensorStore {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** `byteLength` bytes of the tensor from `byteOffset` on, in a fresh array. Throws ModelFileError beyond its end. */
  read(name: string, byteOffset: number, byteLength: number): Uint8Array<ArrayBuffer>;
  close(): void;
}

/** The tokenizer in the form that Transformers.js reads, whatever it was brought from. */
export interface TokenizerFiles {
  readonly tokenizerJson: Readonly<Record<string, unknown>>;
  /** Holds `chat_template` where the model has one. */
  readonly tokenizerConfig: Readonly<Record<string, unknown>>;
}

export interface ModelSource {
  readonly kind: "gguf" | "safetensors";
  /** The file or directory, for messages. */
  readonly path: string;
  /** `llama`, `qwen2`, `qwen3`, ... : GGUF's general.architecture or config.json's model_type. */
  readonly architecture: string;
  /** GGUF metadata, or config.json. The architecture's file makes sense of it. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly store: TensorStore;
  readonly tokenizer: TokenizerFiles;
  readonly bosToken: number | undefined;
  readonly endTokens: readonly number[];
  readonly licence: string | undefined;
  /** Files that make up the source, to be digested into the manifest. */
  readonly files: readonly string[];
}

/** A damaged, truncated or hostile file: the message names the file, the field and what was expected. */
export class ModelFileError extends Error {
  override readonly name = "ModelFileError";
  readonly file: string;
  readonly field: string;
  constructor(file: string, field: string, problem: string) {
    super(`${file}: ${field}: ${problem}`);
    this.file = file;
    this.field = field;
  }
}
