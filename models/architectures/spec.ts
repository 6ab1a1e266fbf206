/**
 * What an architecture's file says about a model: geometry, rotary embedding, names of its tensors. The compiler turns
 * any such description into a graph, so a new family is one file that reads its configuration.
 */
import type { ModelGeometry } from "../../engine/core/model.ts";
import type { ModelSource } from "../source.ts";

export interface RopeSpec {
  /** Rotated dimensions of a head; even, at most headDim. */
  readonly dims: number;
  /** Angle per position of each rotated pair, in radians: dims / 2 values, any scaling applied. */
  readonly frequencies: Float64Array;
  /** True: pairs are (0,1), (2,3), ...; false: pairs are (i, i + dims/2). */
  readonly interleaved: boolean;
}

/** Names of the tensors of one layer in the source; undefined = the model has none. */
export interface LayerTensors {
  readonly attentionNorm: string;
  readonly q: string;
  readonly k: string;
  readonly v: string;
  readonly qkvBias: { readonly q: string; readonly k: string; readonly v: string } | undefined;
  readonly qkNorm: { readonly q: string; readonly k: string } | undefined;
  readonly o: string;
  readonly mlpNorm: string;
  readonly gate: string;
  readonly up: string;
  readonly down: string;
}

export interface DecoderSpec {
  readonly geometry: ModelGeometry;
  readonly intermediate: number;
  readonly contextLength: number;
  readonly normEpsilon: number;
  /** What a query's dot product with a key is multiplied by. */
  readonly attentionScale: number;
  readonly rope: RopeSpec;
  readonly embedding: string;
  readonly finalNorm: string;
  /** Undefined: the head is the embedding (tied). */
  readonly head: string | undefined;
  readonly layer: (index: number) => LayerTensors;
}

export interface Architecture {
  /** Values of GGUF's `general.architecture` and config.json's `model_type` that mean this family. */
  readonly names: readonly string[];
  /** Throws ModelFileError that names the key where the configuration is not one that it knows. */
  describe(source: ModelSource): DecoderSpec;
}
