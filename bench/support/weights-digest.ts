/**
 * One digest of a model's weights as the numbers that they stand for, whatever file they stand in: sha256 over the
 * dequantised f32 values, tensor after tensor in the order of their names. Equal digests mean that two engines compute
 * with the very same weights.
 */
import { createHash } from "node:crypto";
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import { describeModel } from "../../models/architectures/index.ts";
import { padHeads } from "../../models/architectures/pad-heads.ts";
import type { DecoderSpec } from "../../models/architectures/spec.ts";
import type { StoredDecoder } from "../../models/compile/decoder.ts";
import type { ExternalTensor } from "../../models/compile/onnx.ts";
import { dequantiseRows } from "../../models/compile/quantise.ts";
import type { Place, StoredMatrix } from "../../models/compile/weights.ts";
import { dequantise } from "../../models/formats/blocks.ts";
import { byteLengthOf } from "../../models/formats/ggml-types.ts";
import { LAYOUT_NAME, WEIGHTS_NAME } from "../../models/manifest.ts";
import type { ModelSource } from "../../models/source.ts";

/** A tensor of the source, and where its numbers stand in the compiled model. */
interface Part {
  readonly name: string;
  readonly rows: number;
  readonly width: number;
  /** The first of its rows in the stored matrix; of its elements in a stored vector. */
  readonly from: number;
  readonly stored: StoredMatrix | ExternalTensor;
}
type ReadRows = (part: Part, from: number, count: number) => Float32Array<ArrayBuffer>;
type Layout = Omit<StoredDecoder, "spec">;

/** Values that are in memory at a time. */
const SLICE = 1 << 20;

export interface WeightDigests {
  readonly source: string;
  readonly compiled: string;
  readonly tensors: number;
}

/** Throws where the source has a tensor that the compiled model does not use. */
export function digestWeights(original: ModelSource, folder: string): WeightDigests {
  const { source, spec } = padHeads(original, describeModel(original));
  const layout = JSON.parse(readFileSync(join(folder, LAYOUT_NAME), "utf8")) as Layout;
  const parts = partsOf(spec, layout, source).sort((a, b) => (a.name < b.name ? -1 : 1));
  const used = new Set(parts.map(({ name }) => name));
  const unused = [...source.store.tensors.keys()].filter((name) => !used.has(name));
  if (unused.length > 0)
    throw new Error(`the compiled model leaves out ${unused.join(", ")} of ${source.path}`);
  const file = openSync(join(folder, WEIGHTS_NAME), "r");
  try {
    return {
      source: digest(parts, (part, from, count) => readSource(source, part, from, count)),
      compiled: digest(parts, (part, from, count) => readStored(file, part, part.from + from, count)),
      tensors: parts.length,
    };
  } finally {
    closeSync(file);
  }
}

function digest(parts: readonly Part[], read: ReadRows): string {
  const hash = createHash("sha256");
  for (const part of parts) {
    hash.update(`${part.name} ${part.rows} ${part.width}\n`);
    const step = Math.max(1, Math.floor(SLICE / part.width));
    for (let from = 0; from < part.rows; from += step) {
      hash.update(new Uint8Array(read(part, from, Math.min(step, part.rows - from)).buffer));
    }
  }
  return hash.digest("hex");
}

function partsOf(spec: DecoderSpec, layout: Layout, source: ModelSource): Part[] {
  const parts: Part[] = [];
  const add = (stored: StoredMatrix | ExternalTensor, names: readonly string[]): void => {
    let from = 0;
    for (const name of names) {
      const shape = source.store.tensors.get(name)?.shape ?? [];
      const vector = shape.length === 1;
      const rows = vector ? 1 : (shape[0] ?? 0);
      const width = shape.at(-1) ?? 0;
      parts.push({ name, rows, width, from, stored });
      from += vector ? width : rows;
    }
  };
  add(layout.embedding, [spec.embedding]);
  if (spec.head !== undefined) add(layout.head, [spec.head]);
  add(layout.finalNorm, [spec.finalNorm]);
  for (const [index, layer] of layout.layers.entries()) {
    const names = spec.layer(index);
    const projections = [names.q, names.k, names.v];
    if (layer.qkv.length === 1) add(layer.qkv[0] as StoredMatrix, projections);
    else for (const [part, matrix] of layer.qkv.entries()) add(matrix, [projections[part] as string]);
    const { qkvBias, qkNorm } = names;
    if (layer.qkvBias && qkvBias) add(layer.qkvBias, [qkvBias.q, qkvBias.k, qkvBias.v]);
    if (layer.qkNorm && qkNorm) {
      add(layer.qkNorm.q, [qkNorm.q]);
      add(layer.qkNorm.k, [qkNorm.k]);
    }
    for (const name of ["attentionNorm", "o", "mlpNorm", "gate", "up", "down"] as const)
      add(layer[name], [names[name]]);
  }
  return parts;
}

function readSource(
  source: ModelSource,
  { name, width }: Part,
  from: number,
  count: number,
): Float32Array<ArrayBuffer> {
  const type = source.store.tensors.get(name)?.type ?? "F32";
  const start = byteLengthOf(type, from * width);
  return dequantise(type, source.store.read(name, start, byteLengthOf(type, count * width)));
}

function readStored(file: number, part: Part, from: number, count: number): Float32Array<ArrayBuffer> {
  const { stored, width } = part;
  if (!("kind" in stored)) return floats(file, stored, from, width);
  if (stored.kind === "plain") {
    if (!stored.transposed) return floats(file, stored.data, from * width, count * width);
    return turned(floats(file, stored.data, 0, stored.rows * width), stored.rows, width, from, count);
  }
  const blocks = Math.ceil(width / stored.block);
  const rowBytes = (blocks * stored.block * stored.bits) / 8;
  const data = bytes(file, stored.data, from * rowBytes, count * rowBytes);
  const scales = floats(file, stored.scales, from * blocks, count * blocks);
  return dequantiseRows({ data, scales }, width, stored.bits, stored.block);
}

/** Rows of a matrix that is stored as [width, rows]. */
function turned(
  all: Float32Array,
  rows: number,
  width: number,
  from: number,
  count: number,
): Float32Array<ArrayBuffer> {
  const result = new Float32Array(count * width);
  for (let row = 0; row < count; row += 1) {
    for (let column = 0; column < width; column += 1)
      result[row * width + column] = all[column * rows + from + row] as number;
  }
  return result;
}

function floats(file: number, place: Place, from: number, count: number): Float32Array<ArrayBuffer> {
  return new Float32Array(bytes(file, place, 4 * from, 4 * count).buffer);
}

function bytes(file: number, place: Place, offset: number, length: number): Uint8Array<ArrayBuffer> {
  if (offset + length > place.length)
    throw new RangeError(`${offset + length} bytes are beyond the ${place.length} that are stored`);
  const result = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const read = readSync(file, result, done, length - done, place.offset + offset + done);
    if (read === 0) throw new RangeError("the weights file ends before its layout says so");
    done += read;
  }
  return result;
}
