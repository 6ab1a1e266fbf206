/**
 * The K-quants of GGUF: blocks of 256 values whose parts have small scales of their own (source: ggml's block layouts,
 * `block_q4_K`, `block_q5_K`, `block_q6_K` in ggml-common.h).
 *
 * Q4_K, 144 bytes: f16 d, f16 dmin, 12 bytes of scales, 128 bytes of 4-bit levels. Eight parts of 32 values; a value is
 * d·scale·level − dmin·min. Scale and min are 6 bits: those of parts 0 to 3 are the low six bits of bytes 0 to 3 and 4 to
 * 7; of part p from 4 to 7, scale and min have their low four bits in the two halves of byte p + 4, and their high two on
 * top of bytes p − 4 and p. The levels lie in four runs of 32 bytes: run r holds part 2r low and part 2r + 1 high.
 *
 * Q5_K, 176 bytes: as Q4_K, with 32 bytes between scales and levels: bit p of byte i is the fifth bit of value i of part p.
 *
 * Q6_K, 210 bytes: 128 bytes of low bits, 64 bytes of high bits, 16 int8 scales, f16 d. Sixteen parts of 16 values; a value
 * is d·scale·(level − 32), a level 6 bits. In each half of 128 values, four runs of 32: byte i of 64 low ones holds value i
 * of runs 0 and 2, byte i + 32 of runs 1 and 3; byte i of 32 high ones holds two bits of value i of every run, run 0's lowest.
 *
 * Every product here is exact in single precision (11 bits of d by at most 6 + 5, or 7 + 5) and only the difference is
 * rounded, once: so there is one right result, whatever order or fused operation computes it.
 */
import type { KType } from "../source.ts";
import { halfToNumber } from "./floats.ts";
import { TYPE_LAYOUT } from "./ggml-types.ts";

/** Values of a block. */
export const K_BLOCK = 256;
/** Of Q4_K and Q5_K: values that share a scale and a min. */
export const K_PART = 32;
/** Of Q6_K: values that share a scale. */
export const K_PART_Q6 = 16;

/** `bytes`: whole blocks. Length of the result: 256 for each. */
export function dequantiseK(type: KType, bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const { blockBytes } = TYPE_LAYOUT[type];
  const blocks = bytes.byteLength / blockBytes;
  const result = new Float32Array(blocks * K_BLOCK);
  for (let block = 0; block < blocks; block += 1) {
    const values = result.subarray(block * K_BLOCK, (block + 1) * K_BLOCK);
    if (type === "Q6_K") readQ6(bytes, block * blockBytes, values);
    else readQ4OrQ5(bytes, block * blockBytes, type === "Q5_K", values);
  }
  return result;
}

const SCALES = 4;
const SCALES_END = 16;

function readQ4OrQ5(bytes: Uint8Array, from: number, hasFifth: boolean, values: Float32Array): void {
  const d = halfAt(bytes, from);
  const dmin = halfAt(bytes, from + 2);
  const fifths = from + SCALES_END;
  const levels = hasFifth ? fifths + 32 : fifths;
  for (let part = 0; part < 8; part += 1) {
    const scale = d * scaleOf(bytes, from + SCALES, part);
    const min = dmin * minOf(bytes, from + SCALES, part);
    const shift = part % 2 === 0 ? 0 : 4;
    const run = levels + K_PART * (part >> 1);
    for (let i = 0; i < K_PART; i += 1) {
      const low = ((bytes[run + i] as number) >> shift) & 15;
      const fifth = hasFifth ? (((bytes[fifths + i] as number) >> part) & 1) << 4 : 0;
      values[part * K_PART + i] = scale * (low | fifth) - min;
    }
  }
}

function scaleOf(bytes: Uint8Array, at: number, part: number): number {
  if (part < 4) return (bytes[at + part] as number) & 63;
  return ((bytes[at + part + 4] as number) & 15) | (((bytes[at + part - 4] as number) >> 6) << 4);
}

function minOf(bytes: Uint8Array, at: number, part: number): number {
  if (part < 4) return (bytes[at + part + 4] as number) & 63;
  return ((bytes[at + part + 4] as number) >> 4) | (((bytes[at + part] as number) >> 6) << 4);
}

const Q6_HIGH = 128;
const Q6_SCALES = 192;
const Q6_D = 208;

function readQ6(bytes: Uint8Array, from: number, values: Float32Array): void {
  const d = halfAt(bytes, from + Q6_D);
  for (let run = 0; run < 8; run += 1) {
    const half = run >> 2;
    const lows = from + 64 * half + 32 * (run & 1);
    const lowShift = (run & 2) === 0 ? 0 : 4;
    const highs = from + Q6_HIGH + 32 * half;
    const highShift = 2 * (run & 3);
    for (let i = 0; i < 32; i += 1) {
      const low = ((bytes[lows + i] as number) >> lowShift) & 15;
      const high = ((bytes[highs + i] as number) >> highShift) & 3;
      const scale = ((bytes[from + Q6_SCALES + 2 * run + (i >> 4)] as number) << 24) >> 24;
      values[run * 32 + i] = d * scale * ((low | (high << 4)) - 32);
    }
  }
}

const halfAt = (bytes: Uint8Array, at: number): number =>
  halfToNumber((bytes[at] as number) | ((bytes[at + 1] as number) << 8));
