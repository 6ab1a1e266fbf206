/**
 * Floats to stored bytes, the other way from blocks.ts by the recipes of ggml's reference quantisers
 * (`quantize_row_q8_0_ref`, `quantize_row_q4_0_ref`): the largest magnitude to 127, or to −8 with its sign.
 */
import type { TensorType } from "../source.ts";
import { numberToHalf } from "./floats.ts";
import { TYPE_LAYOUT } from "./ggml-types.ts";
import { quantiseK } from "./k-quantise.ts";

const BLOCK = 32;

/** `values`: whole blocks of the type. */
export function quantise(type: TensorType, values: Float32Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (values.length % TYPE_LAYOUT[type].blockElements !== 0) {
    throw new RangeError(`${values.length} values are not whole blocks of ${type}`);
  }
  switch (type) {
    case "F32":
      return new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice();
    case "F16":
      return new Uint8Array(Uint16Array.from(values, numberToHalf).buffer);
    case "BF16":
      return toBf16(values);
    case "Q8_0":
      return toQ8(values);
    case "Q4_0":
      return toQ4(values);
    case "Q4_K":
    case "Q5_K":
    case "Q6_K":
      return quantiseK(type, values);
  }
}

/** The nearest bfloat16, ties to even; NaN stays NaN. */
function toBf16(values: Float32Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const upper = new Uint16Array(values.length);
  for (let index = 0; index < bits.length; index += 1) {
    const value = bits[index] as number;
    const isNan = (value & 0x7fffffff) > 0x7f800000;
    upper[index] = isNan ? (value >>> 16) | 0x40 : (value + 0x7fff + ((value >>> 16) & 1)) >>> 16;
  }
  return new Uint8Array(upper.buffer);
}

function putHalf(bytes: Uint8Array, at: number, half: number): void {
  bytes[at] = half & 0xff;
  bytes[at + 1] = half >>> 8;
}

function toQ8(values: Float32Array): Uint8Array<ArrayBuffer> {
  const { blockBytes } = TYPE_LAYOUT.Q8_0;
  const bytes = new Uint8Array((values.length / BLOCK) * blockBytes);
  for (let from = 0, to = 0; from < values.length; from += BLOCK, to += blockBytes) {
    let largest = 0;
    for (let i = 0; i < BLOCK; i += 1) largest = Math.max(largest, Math.abs(values[from + i] as number));
    const inverse = largest === 0 ? 0 : 127 / largest;
    putHalf(bytes, to, numberToHalf(largest / 127));
    for (let i = 0; i < BLOCK; i += 1) bytes[to + 2 + i] = Math.round((values[from + i] as number) * inverse);
  }
  return bytes;
}

function toQ4(values: Float32Array): Uint8Array<ArrayBuffer> {
  const { blockBytes } = TYPE_LAYOUT.Q4_0;
  const bytes = new Uint8Array((values.length / BLOCK) * blockBytes);
  for (let from = 0, to = 0; from < values.length; from += BLOCK, to += blockBytes) {
    let extreme = 0;
    for (let i = 0; i < BLOCK; i += 1) {
      const value = values[from + i] as number;
      if (Math.abs(value) > Math.abs(extreme)) extreme = value;
    }
    const inverse = extreme === 0 ? 0 : -8 / extreme;
    putHalf(bytes, to, numberToHalf(extreme / -8));
    for (let i = 0; i < BLOCK / 2; i += 1) {
      const low = Math.min(15, Math.floor((values[from + i] as number) * inverse + 8.5));
      const high = Math.min(15, Math.floor((values[from + i + BLOCK / 2] as number) * inverse + 8.5));
      bytes[to + 2 + i] = low | (high << 4);
    }
  }
  return bytes;
}
