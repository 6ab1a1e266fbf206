/**
 * Writes the external data file: matrices in the precision that was chosen, a slice of rows at a time, so that memory
 * stays small whatever the model's size. Every matrix is recorded in a layout, from which `verify` can read it back.
 */
import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { dequantise } from "../formats/blocks.ts";
import { byteLengthOf, isKType } from "../formats/ggml-types.ts";
import { ModelFileError, type ModelSource, type TensorInfo, type TensorType } from "../source.ts";
import type { ExternalTensor } from "./onnx.ts";
import { type Bits, type QuantisedRows, quantiseRows } from "./quantise.ts";
import { GGUF_BLOCK, repackBlocks } from "./repack.ts";
import { type Requantised, RequantisedTally } from "./requantised.ts";

/** How one matrix is stored. `bits` 32 = plain f32. */
export interface MatrixPrecision {
  readonly bits: Bits | 32;
  readonly block: number;
}

/** A matrix of `rows` outputs and `width` inputs in the data file. */
export type StoredMatrix =
  | {
      readonly kind: "blocks";
      readonly name: string;
      readonly bits: Bits;
      readonly block: number;
      readonly rows: number;
      readonly width: number;
      readonly data: Place;
      readonly scales: Place;
    }
  /** `transposed`: stored [width, rows], as MatMul wants it; otherwise [rows, width]. */
  | {
      readonly kind: "plain";
      readonly name: string;
      readonly transposed: boolean;
      readonly rows: number;
      readonly width: number;
      readonly data: Place;
    };

export interface Place {
  readonly offset: number;
  readonly length: number;
}

/** Elements that are held in memory at a time while a matrix is converted. */
const SLICE_ELEMENTS = 4 << 20;
/** ONNX Runtime maps external data into memory where it starts on a page. */
const ALIGNMENT = 4096;

export class WeightWriter {
  readonly #source: ModelSource;
  readonly #file: number;
  readonly #onWritten: (bytes: number) => void;
  readonly #requantised = new RequantisedTally();
  #offset = 0;
  #changed = false;

  constructor(source: ModelSource, path: string, onWritten: (bytes: number) => void) {
    this.#source = source;
    this.#file = openSync(path, "wx");
    this.#onWritten = onWritten;
  }

  /** True while every matrix written so far equals its source bit for bit once dequantised. */
  get lossless(): boolean {
    return !this.#changed;
  }

  /** K-quants that were written in blocks of another kind so far. */
  get requantised(): Requantised[] {
    return this.#requantised.list();
  }

  info(name: string): TensorInfo {
    const info = this.#source.store.tensors.get(name);
    if (info === undefined) throw new ModelFileError(this.#source.path, name, "this tensor is missing");
    return info;
  }

  /** A small vector (norm weights, biases), or several joined, as f32. */
  vector(names: readonly string[], name: string, length: number): ExternalTensor {
    const parts = names.map((part) =>
      this.rows(
        part,
        0,
        1,
        this.info(part).shape.reduce((a, b) => a * b, 1),
      ),
    );
    const total = parts.reduce((sum, part) => sum + part.length, 0);
    if (total !== length) {
      throw new ModelFileError(
        this.#source.path,
        names.join(" + "),
        `expected ${length} elements, found ${total}`,
      );
    }
    const joined = new Float32Array(total);
    let at = 0;
    for (const part of parts) {
      joined.set(part, at);
      at += part.length;
    }
    const place = this.#write(joined);
    return { name, type: "float32", shape: [length], ...place };
  }

  /** A table of f32 values that is no tensor of the source (rotary tables). */
  table(values: Float32Array<ArrayBuffer>, name: string, shape: readonly number[]): ExternalTensor {
    return { name, type: "float32", shape, ...this.#write(values) };
  }

  /** Checks the shape: `rows` outputs, `width` inputs. */
  expectMatrix(name: string, rows: number, width: number): TensorInfo {
    const info = this.info(name);
    const [found = 0, wide = 0] = info.shape;
    if (info.shape.length !== 2 || found !== rows || wide !== width) {
      throw new ModelFileError(
        this.#source.path,
        name,
        `expected shape [${rows}, ${width}], found [${info.shape.join(", ")}]`,
      );
    }
    return info;
  }

  /** Matrices stacked along their outputs. All must share `width`. */
  blocks(names: readonly string[], name: string, width: number, bits: Bits, block: number): StoredMatrix {
    const perRow = Math.ceil(width / block);
    const rows = names.reduce((sum, part) => sum + (this.info(part).shape[0] ?? 0), 0);
    const scales = new Float32Array(rows * perRow);
    const start = this.#align();
    let done = 0;
    for (const part of names) {
      const info = this.expectMatrix(part, this.info(part).shape[0] ?? 0, width);
      for (const [from, count] of slices(info.shape[0] ?? 0, width)) {
        const quantised = this.#quantised(info, from, count, width, bits, block);
        this.#requireFinite(part, quantised.scales);
        scales.set(quantised.scales, (done + from) * perRow);
        this.#append(quantised.data);
      }
      done += info.shape[0] ?? 0;
    }
    const data = { offset: start, length: this.#offset - start };
    return { kind: "blocks", name, bits, block, rows, width, data, scales: this.#write(scales) };
  }

  plain(names: readonly string[], name: string, width: number, transposed: boolean): StoredMatrix {
    const heights = names.map((part) => this.info(part).shape[0] ?? 0);
    const rows = heights.reduce((a, b) => a + b, 0);
    const all = transposed ? new Float32Array(rows * width) : undefined;
    const start = this.#align();
    let done = 0;
    for (const [index, part] of names.entries()) {
      const height = heights[index] ?? 0;
      this.expectMatrix(part, height, width);
      for (const [from, count] of slices(height, width)) {
        const values = this.rows(part, from, count, width);
        if (all === undefined) this.#append(values);
        else transposeInto(values, count, width, all, done + from, rows);
      }
      done += height;
    }
    if (all !== undefined) this.#append(all);
    return {
      kind: "plain",
      name,
      transposed,
      rows,
      width,
      data: { offset: start, length: this.#offset - start },
    };
  }

  /** Rows of a tensor as f32, without loss. */
  rows(name: string, from: number, count: number, width: number): Float32Array<ArrayBuffer> {
    const { type } = this.info(name);
    const start = byteLengthOf(type, from * width);
    const values = dequantise(type, this.#source.store.read(name, start, byteLengthOf(type, count * width)));
    this.#requireFinite(name, values);
    return values;
  }

  close(): void {
    fsyncSync(this.#file);
    closeSync(this.#file);
  }

  #quantised(
    info: TensorInfo,
    from: number,
    count: number,
    width: number,
    bits: Bits,
    block: number,
  ): QuantisedRows {
    if (isSameBlocks(info.type, bits, block)) {
      const start = byteLengthOf(info.type, from * width);
      return repackBlocks(
        this.#source.store.read(info.name, start, byteLengthOf(info.type, count * width)),
        bits,
      );
    }
    this.#changed = true;
    const rows = this.rows(info.name, from, count, width);
    const quantised = quantiseRows(rows, width, bits, block);
    this.#requantised.add(info, rows, width, { bits, block, ...quantised });
    return quantised;
  }

  /** One such weight would make every answer nothing but NaN. */
  #requireFinite(name: string, values: Float32Array): void {
    let nothing = 0;
    for (let i = 0; i < values.length; i += 1) nothing += (values[i] as number) * 0;
    if (nothing === 0) return;
    throw new ModelFileError(this.#source.path, name, "holds values that are no finite numbers");
  }

  #align(): number {
    const gap = (ALIGNMENT - (this.#offset % ALIGNMENT)) % ALIGNMENT;
    if (gap > 0) this.#append(new Uint8Array(gap));
    return this.#offset;
  }

  #write(values: Float32Array<ArrayBuffer>): Place {
    const offset = this.#align();
    this.#append(values);
    return { offset, length: values.byteLength };
  }

  #append(values: Uint8Array<ArrayBuffer> | Float32Array<ArrayBuffer>): void {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#file, bytes, at, bytes.length - at);
    this.#offset += bytes.length;
    this.#onWritten(bytes.length);
  }
}

/** What a tensor's own type maps to without loss. */
export function nativePrecision(type: TensorType): MatrixPrecision {
  switch (type) {
    case "Q4_0":
      return { bits: 4, block: GGUF_BLOCK };
    case "Q8_0":
      return { bits: 8, block: GGUF_BLOCK };
    default:
      return { bits: 32, block: 0 };
  }
}

/**
 * What a GGUF's tensor becomes where nothing was asked for: its own bits and block, without loss. K-quants have no such
 * form, and are requantised to 8 bits, Q4_K too. Measured on normal random weights, root mean square: 8 bits move the
 * values by 0.5 %, 4 bits by 8.3 to 8.8 %. Q4_K itself is 7.8 % away from what it was made of: 8 bits leave that at 7.8 %,
 * 4 bits make it 11.4 %, worse than a plain Q4_0 (8.6 %), which nobody expects who chose Q4_K. The price is memory: 9 bits
 * a weight instead of 4.5 to 6.6; `--quant q4` has 5.
 */
export function keptPrecision(type: TensorType, block: number | undefined): MatrixPrecision {
  return isKType(type) ? { bits: 8, block: block ?? GGUF_BLOCK } : nativePrecision(type);
}

const isSameBlocks = (type: TensorType, bits: Bits, block: number): boolean =>
  nativePrecision(type).bits === bits && nativePrecision(type).block === block;

function* slices(rows: number, width: number): Generator<readonly [from: number, count: number]> {
  const step = Math.max(1, Math.floor(SLICE_ELEMENTS / width));
  for (let from = 0; from < rows; from += step) yield [from, Math.min(step, rows - from)];
}

function transposeInto(
  values: Float32Array,
  count: number,
  width: number,
  target: Float32Array,
  firstRow: number,
  rows: number,
): void {
  for (let row = 0; row < count; row += 1) {
    for (let column = 0; column < width; column += 1) {
      target[column * rows + firstRow + row] = values[row * width + column] as number;
    }
  }
}
