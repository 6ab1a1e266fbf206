/**
 * Stored bytes to floats. Q8_0 and Q4_0 are blocks of 32 values with one half-precision scale d in front:
 * Q8_0 is d·q with q an int8; Q4_0 is d·(q − 8), byte i of 16 holding value i low and value i + 16 high
 * (source: `block_q8_0`, `block_q4_0` in llama.cpp's ggml-common.h). The blocks of 256 are in k-blocks.ts.
 */
import type { TensorType } from "../source.ts";
import { bf16ToF32, f16ToF32, halfToNumber } from "./floats.ts";
import { TYPE_LAYOUT } from "./ggml-types.ts";
import { dequantiseK } from "./k-blocks.ts";

const BLOCK = 32;

/** `bytes`: whole elements, or whole blocks, of a tensor of this type. Length of the result: the elements in them. */
export function dequantise(type: TensorType, bytes: Uint8Array): Float32Array<ArrayBuffer> {
  if (bytes.byteLength % TYPE_LAYOUT[type].blockBytes !== 0) {
    throw new RangeError(`${bytes.byteLength} bytes are not whole blocks of ${type}`);
  }
  switch (type) {
    case "F32":
      return f32(bytes);
    case "F16":
      return f16ToF32(bytes);
    case "BF16":
      return bf16ToF32(bytes);
    case "Q8_0":
      return dequantiseQ8(bytes);
    case "Q4_0":
      return dequantiseQ4(bytes);
    case "Q4_K":
    case "Q5_K":
    case "Q6_K":
      return dequantiseK(type, bytes);
  }
}

function f32(bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const result = new Float32Array(bytes.byteLength / 4);
  new Uint8Array(result.buffer).set(bytes);
  return result;
}

const halfAt = (bytes: Uint8Array, at: number): number =>
  halfToNumber((bytes[at] as number) | ((bytes[at + 1] as number) << 8));

function dequantiseQ8(bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const { blockBytes } = TYPE_LAYOUT.Q8_0;
  const blocks = bytes.byteLength / blockBytes;
  const result = new Float32Array(blocks * BLOCK);
  for (let block = 0; block < blocks; block += 1) {
    const from = block * blockBytes;
    const scale = halfAt(bytes, from);
    const to = block * BLOCK;
    for (let i = 0; i < BLOCK; i += 1)
      result[to + i] = (((bytes[from + 2 + i] as number) << 24) >> 24) * scale;
  }
  return result;
}

function dequantiseQ4(bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const { blockBytes } = TYPE_LAYOUT.Q4_0;
  const blocks = bytes.byteLength / blockBytes;
  const result = new Float32Array(blocks * BLOCK);
  for (let block = 0; block < blocks; block += 1) {
    const from = block * blockBytes;
    const scale = halfAt(bytes, from);
    const to = block * BLOCK;
    for (let i = 0; i < BLOCK / 2; i += 1) {
      const pair = bytes[from + 2 + i] as number;
      result[to + i] = ((pair & 15) - 8) * scale;
      result[to + i + BLOCK / 2] = ((pair >> 4) - 8) * scale;
    }
  }
  return result;
}
