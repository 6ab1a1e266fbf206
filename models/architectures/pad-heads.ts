/**
 * ONNX Runtime's attention wants heads of a multiple of 16 dimensions. Smaller or odd ones are padded with zeros: zero
 * rows in q, k and v, zero columns behind them in o. The result is the same, since zeros add nothing to a dot product.
 */

import { dequantise } from "../formats/blocks.ts";
import { byteLengthOf } from "../formats/ggml-types.ts";
import { ModelFileError, type ModelSource, type TensorInfo, type TensorStore } from "../source.ts";
import type { DecoderSpec, RopeSpec } from "./spec.ts";

const HEAD_MULTIPLE = 16;

export interface PaddedModel {
  readonly source: ModelSource;
  readonly spec: DecoderSpec;
}

/** Returns what it was given where nothing needs padding. */
export function padHeads(source: ModelSource, spec: DecoderSpec): PaddedModel {
  const { headDim, layers, heads, kvHeads, hidden } = spec.geometry;
  const padded = Math.ceil(headDim / HEAD_MULTIPLE) * HEAD_MULTIPLE;
  if (padded === headDim) return { source, spec };
  if (spec.rope.dims !== headDim) {
    throw new ModelFileError(
      source.path,
      "rope dimensions",
      `${spec.rope.dims} of ${headDim} is not supported with odd heads`,
    );
  }
  const place = placeOf(spec.rope, headDim, padded);
  const changed = new Map<string, Padding>();
  for (let index = 0; index < layers; index += 1) {
    const layer = spec.layer(index);
    if (layer.qkNorm !== undefined) {
      throw new ModelFileError(
        source.path,
        layer.qkNorm.q,
        `heads of ${headDim} dimensions with norms are not supported`,
      );
    }
    const rows = (count: number): Padding => ({ axis: "rows", heads: count, width: hidden });
    changed.set(layer.q, rows(heads)).set(layer.k, rows(kvHeads)).set(layer.v, rows(kvHeads));
    changed.set(layer.o, { axis: "columns", heads, width: hidden });
    if (layer.qkvBias !== undefined) {
      const bias = (count: number): Padding => ({ axis: "rows", heads: count, width: 1 });
      const { q, k, v } = layer.qkvBias;
      changed.set(q, bias(heads)).set(k, bias(kvHeads)).set(v, bias(kvHeads));
    }
  }
  const half = padded / 2;
  const frequencies = Float64Array.from({ length: half }, (_, i) => spec.rope.frequencies[i] ?? 0);
  return {
    source: { ...source, store: new PaddedStore(source, changed, place, padded) },
    spec: {
      ...spec,
      geometry: { ...spec.geometry, headDim: padded },
      rope: { ...spec.rope, dims: padded, frequencies },
    },
  };
}

/** Where each dimension of a head goes, so that rotary pairs stay pairs. */
function placeOf(rope: RopeSpec, headDim: number, padded: number): readonly number[] {
  return Array.from({ length: headDim }, (_, i) =>
    rope.interleaved || i < headDim / 2 ? i : padded / 2 + (i - headDim / 2),
  );
}

interface Padding {
  /** `rows`: [heads * dim, width]; `columns`: [width, heads * dim]. */
  readonly axis: "rows" | "columns";
  readonly heads: number;
  readonly width: number;
}

class PaddedStore implements TensorStore {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly #source: ModelSource;
  readonly #changed: ReadonlyMap<string, Padding>;
  readonly #place: readonly number[];
  readonly #padded: number;
  /** The tensor that was read last, padded: the compiler reads one after the other. */
  #held: { readonly name: string; readonly bytes: Uint8Array<ArrayBuffer> } | undefined;

  constructor(
    source: ModelSource,
    changed: ReadonlyMap<string, Padding>,
    place: readonly number[],
    padded: number,
  ) {
    this.#source = source;
    this.#changed = changed;
    this.#place = place;
    this.#padded = padded;
    const tensors = new Map(source.store.tensors);
    for (const [name, { axis, heads, width }] of changed) {
      const info = tensors.get(name);
      if (info === undefined) continue;
      const long = heads * padded;
      const shape = info.shape.length === 1 ? [long] : axis === "rows" ? [long, width] : [width, long];
      tensors.set(name, { name, shape, type: "F32", byteLength: 4 * long * width });
    }
    this.tensors = tensors;
  }

  read(name: string, byteOffset: number, byteLength: number): Uint8Array<ArrayBuffer> {
    const padding = this.#changed.get(name);
    if (padding === undefined) return this.#source.store.read(name, byteOffset, byteLength);
    if (this.#held?.name !== name) this.#held = { name, bytes: this.#pad(name, padding) };
    return this.#held.bytes.slice(byteOffset, byteOffset + byteLength);
  }

  close(): void {
    this.#source.store.close();
  }

  #pad(name: string, { axis, heads, width }: Padding): Uint8Array<ArrayBuffer> {
    const { store, path } = this.#source;
    const info = store.tensors.get(name);
    const dim = this.#place.length;
    const elements = heads * dim * width;
    if (info === undefined || info.byteLength !== byteLengthOf(info.type, elements)) {
      throw new ModelFileError(path, name, `expected ${elements} elements`);
    }
    const values = dequantise(info.type, store.read(name, 0, info.byteLength));
    const out = new Float32Array(heads * this.#padded * width);
    for (let head = 0; head < heads; head += 1) {
      for (let i = 0; i < dim; i += 1) {
        const from = head * dim + i;
        const to = head * this.#padded + (this.#place[i] as number);
        for (let j = 0; j < width; j += 1) {
          if (axis === "rows") out[to * width + j] = values[from * width + j] as number;
          else out[j * heads * this.#padded + to] = values[j * heads * dim + from] as number;
        }
      }
    }
    return new Uint8Array(out.buffer);
  }
}
