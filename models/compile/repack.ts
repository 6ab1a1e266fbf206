/**
 * GGUF's quantised blocks -> MatMulNBits, without loss: the same integers and scales in another order.
 * Q4_0: 18 bytes = f16 scale, then 16 bytes holding element i (low half) and i + 16 (high half).
 * Q8_0: 34 bytes = f16 scale, then 32 signed bytes. Source: the GGUF block layouts of ggml.
 */
import { halfToNumber } from "../formats/floats.ts";
import type { Bits, QuantisedRows } from "./quantise.ts";

export const GGUF_BLOCK = 32;
const Q4_BYTES = 18;
const Q8_BYTES = 34;

export function repackBlocks(source: Uint8Array, bits: Bits): QuantisedRows {
  return bits === 4 ? repackQ4(source) : repackQ8(source);
}

function repackQ4(source: Uint8Array): QuantisedRows {
  const blocks = source.length / Q4_BYTES;
  const data = new Uint8Array(blocks * 16);
  const scales = new Float32Array(blocks);
  for (let block = 0; block < blocks; block += 1) {
    const from = block * Q4_BYTES;
    scales[block] = halfAt(source, from);
    const to = block * 16;
    for (let pair = 0; pair < 8; pair += 1) {
      const a = source[from + 2 + 2 * pair] as number;
      const b = source[from + 3 + 2 * pair] as number;
      data[to + pair] = (a & 15) | ((b & 15) << 4);
      data[to + 8 + pair] = (a >> 4) | (b & 0xf0);
    }
  }
  return { data, scales };
}

function repackQ8(source: Uint8Array): QuantisedRows {
  const blocks = source.length / Q8_BYTES;
  const data = new Uint8Array(blocks * 32);
  const scales = new Float32Array(blocks);
  for (let block = 0; block < blocks; block += 1) {
    const from = block * Q8_BYTES;
    scales[block] = halfAt(source, from);
    // q + 128 in unsigned bytes is the signed byte with its top bit turned.
    for (let i = 0; i < 32; i += 1) data[block * 32 + i] = (source[from + 2 + i] as number) ^ 0x80;
  }
  return { data, scales };
}

const halfAt = (bytes: Uint8Array, at: number): number =>
  halfToNumber((bytes[at] as number) | ((bytes[at + 1] as number) << 8));
