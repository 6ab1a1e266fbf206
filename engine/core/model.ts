/** What the rest of the house may know about a model without opening its files. */
import type { TokenId } from "./brand.ts";

export type WeightPrecision = "q4" | "q8" | "f32";
export type KvPrecision = "f32" | "int8";

/** A layer's keys and values in an int8 cache: the stored integers times these. */
export interface CacheScale {
  readonly key: number;
  readonly value: number;
}

/**
 * What a graph takes and gives. `compiled`: made by weir, with lengths and wanted rows as inputs. `masked`: exported
 * elsewhere, with an attention mask as input and logits of every position. `positionIds` and `logitsToKeep`: whether it
 * has the inputs `position_ids` and `num_logits_to_keep`.
 */
export type GraphLayout =
  | { readonly kind: "compiled" }
  | { readonly kind: "masked"; readonly positionIds: boolean; readonly logitsToKeep: boolean };

export interface ModelGeometry {
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocabSize: number;
}

export interface ModelCard {
  /** The name that clients send as `model`. */
  readonly name: string;
  readonly geometry: ModelGeometry;
  readonly weights: WeightPrecision;
  readonly kv: KvPrecision;
  /** Prompt and answer together, in tokens. */
  readonly contextLength: number;
  /** Put before every prompt by the tokenizer where the model wants one. */
  readonly bosToken: TokenId | undefined;
  /** Any of these ends an answer (finish_reason `stop`) unless the request says ignore_eos. */
  readonly endTokens: readonly TokenId[];
  /** Seconds since 1970, for `/v1/models`. */
  readonly createdAt: number;
  readonly hasChatTemplate: boolean;
  /** Weights plus graph on disk, in bytes: what loading it costs at least. */
  readonly weightBytes: number;
}
