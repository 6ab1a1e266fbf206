/** Writes GGUF v3, tensor by tensor and piece by piece: memory stays at one piece, whatever the file's size. */
import { closeSync, openSync, writeSync } from "node:fs";
import type { TensorType } from "../source.ts";
import { byteLengthOf, ggmlTypeNumber, TYPE_LAYOUT } from "./ggml-types.ts";
import { VALUE_TYPE } from "./gguf-values.ts";
import { quantise } from "./quantise.ts";

export type GgufValue =
  | { readonly type: "uint32" | "int32" | "float32" | "uint64" | "float64"; readonly value: number }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "strings"; readonly value: readonly string[] }
  | { readonly type: "int32s"; readonly value: Int32Array<ArrayBuffer> }
  | { readonly type: "float32s"; readonly value: Float32Array<ArrayBuffer> };

export interface TensorPlan {
  readonly name: string;
  /** Outermost dimension first. */
  readonly shape: readonly number[];
  readonly type: TensorType;
}

export interface TensorToWrite extends TensorPlan {
  /** The values in order, in pieces of whole blocks; called once, when the tensor's turn has come. */
  readonly pieces: () => Iterable<Float32Array<ArrayBuffer>>;
}

const ALIGNMENT = 32;
const aligned = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
const elementsOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

/** Overwrites `path`. Throws what the file system throws, and RangeError before it writes where rows are no whole blocks. */
export function writeGguf(
  path: string,
  metadata: readonly (readonly [string, GgufValue])[],
  tensors: readonly TensorToWrite[],
): void {
  const header = ggufHeader(metadata, tensors);
  const file = openSync(path, "w");
  try {
    writeFully(file, header);
    for (const tensor of tensors) {
      let written = 0;
      for (const piece of tensor.pieces()) {
        const bytes = quantise(tensor.type, piece);
        writeFully(file, bytes);
        written += bytes.byteLength;
      }
      const expected = byteLengthOf(tensor.type, elementsOf(tensor.shape));
      if (written !== expected)
        throw new RangeError(`${tensor.name}: ${written} bytes came, ${expected} were planned`);
      writeFully(file, new Uint8Array(aligned(written) - written));
    }
  } finally {
    closeSync(file);
  }
}

function writeFully(file: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
}

/** Everything before the tensors' bytes, padded to where they begin. Throws RangeError where rows are no whole blocks. */
export function ggufHeader(
  metadata: readonly (readonly [string, GgufValue])[],
  tensors: readonly TensorPlan[],
): Uint8Array<ArrayBuffer> {
  const out = new ByteSink();
  out.bytes(Buffer.from("GGUF"));
  out.u32(3);
  out.u64(tensors.length);
  out.u64(metadata.length);
  for (const [key, value] of metadata) {
    out.text(key);
    putValue(out, value);
  }
  let offset = 0;
  for (const { name, shape, type } of tensors) {
    const { blockElements } = TYPE_LAYOUT[type];
    const width = shape.at(-1) ?? 0;
    if (width % blockElements !== 0)
      throw new RangeError(
        `${name}: rows of ${width} elements are not whole blocks of ${blockElements} (${type})`,
      );
    out.text(name);
    out.u32(shape.length);
    for (const size of [...shape].reverse()) out.u64(size);
    out.u32(ggmlTypeNumber(type));
    out.u64(offset);
    offset += aligned(byteLengthOf(type, elementsOf(shape)));
  }
  out.bytes(new Uint8Array(aligned(out.length) - out.length));
  return out.joined();
}

function putValue(out: ByteSink, value: GgufValue): void {
  switch (value.type) {
    case "strings":
      out.array(VALUE_TYPE.string, value.value.length);
      for (const text of value.value) out.text(text);
      return;
    case "int32s":
      out.array(VALUE_TYPE.int32, value.value.length);
      out.bytes(new Uint8Array(value.value.buffer));
      return;
    case "float32s":
      out.array(VALUE_TYPE.float32, value.value.length);
      out.bytes(new Uint8Array(value.value.buffer));
      return;
    default:
      out.u32(VALUE_TYPE[value.type]);
      putScalar(out, value);
  }
}

type Scalar = Exclude<GgufValue, { readonly type: "strings" | "int32s" | "float32s" }>;

function putScalar(out: ByteSink, value: Scalar): void {
  switch (value.type) {
    case "string":
      return out.text(value.value);
    case "bool":
      return out.bytes(Uint8Array.of(value.value ? 1 : 0));
    case "uint32":
      return out.u32(value.value);
    case "uint64":
      return out.u64(value.value);
    case "int32":
      return out.bytes(new Uint8Array(Int32Array.of(value.value).buffer));
    case "float32":
      return out.bytes(new Uint8Array(Float32Array.of(value.value).buffer));
    case "float64":
      return out.bytes(new Uint8Array(Float64Array.of(value.value).buffer));
  }
}

/** Collects little-endian bytes. */
class ByteSink {
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  bytes(bytes: Uint8Array): void {
    this.#parts.push(bytes);
    this.#length += bytes.byteLength;
  }

  u32(value: number): void {
    this.bytes(new Uint8Array(Uint32Array.of(value).buffer));
  }

  u64(value: number): void {
    this.bytes(new Uint8Array(BigUint64Array.of(BigInt(value)).buffer));
  }

  text(text: string): void {
    const bytes = Buffer.from(text, "utf8");
    this.u64(bytes.byteLength);
    this.bytes(bytes);
  }

  array(elementType: number, count: number): void {
    this.u32(VALUE_TYPE.array);
    this.u32(elementType);
    this.u64(count);
  }

  joined(): Uint8Array<ArrayBuffer> {
    const all = new Uint8Array(this.#length);
    let at = 0;
    for (const part of this.#parts) {
      all.set(part, at);
      at += part.byteLength;
    }
    return all;
  }
}
