/**
 * Floats to K-quants, for generated files: valid and simple, the extremes of each part decide its scale. llama.cpp's own
 * quantisers search for better scales; the layouts are in k-blocks.ts.
 */
import type { KType } from "../source.ts";
import { halfToNumber, numberToHalf } from "./floats.ts";
import { TYPE_LAYOUT } from "./ggml-types.ts";
import { K_BLOCK, K_PART, K_PART_Q6 } from "./k-blocks.ts";

/** `values`: whole blocks of 256. */
export function quantiseK(type: KType, values: Float32Array): Uint8Array<ArrayBuffer> {
  const { blockBytes } = TYPE_LAYOUT[type];
  const blocks = values.length / K_BLOCK;
  const bytes = new Uint8Array(blocks * blockBytes);
  for (let block = 0; block < blocks; block += 1) {
    const part = values.subarray(block * K_BLOCK, (block + 1) * K_BLOCK);
    const out = bytes.subarray(block * blockBytes, (block + 1) * blockBytes);
    if (type === "Q6_K") writeQ6(part, out);
    else writeQ4OrQ5(part, type === "Q5_K", out);
  }
  return bytes;
}

const clamp = (value: number, low: number, high: number): number => Math.max(low, Math.min(high, value));

/** Puts the half nearest to `value` and returns what it holds. */
function putHalf(out: Uint8Array, at: number, value: number): number {
  const half = numberToHalf(value);
  out[at] = half & 0xff;
  out[at + 1] = half >>> 8;
  return halfToNumber(half);
}

/** How often the step goes into the value, nearest; 0 where there is no step. */
const steps = (value: number, step: number): number => (step === 0 ? 0 : Math.round(value / step));

function writeQ4OrQ5(values: Float32Array, hasFifth: boolean, out: Uint8Array): void {
  const levelMax = hasFifth ? 31 : 15;
  const parts = Array.from({ length: 8 }, (_, part) => {
    const own = values.subarray(part * K_PART, (part + 1) * K_PART);
    const least = Math.min(0, ...own);
    return { own, step: (Math.max(0, ...own) - least) / levelMax, least };
  });
  const d = putHalf(out, 0, Math.max(...parts.map(({ step }) => step)) / 63);
  const dmin = putHalf(out, 2, Math.max(...parts.map(({ least }) => -least)) / 63);
  const levels = hasFifth ? 48 : 16;
  for (const [part, { own, step, least }] of parts.entries()) {
    const scale = clamp(steps(step, d), 0, 63);
    const min = clamp(steps(-least, dmin), 0, 63);
    putScales(out.subarray(4, 16), part, scale, min);
    for (const [i, value] of own.entries()) {
      const level = clamp(steps(value + dmin * min, d * scale), 0, levelMax);
      const at = levels + K_PART * (part >> 1) + i;
      out[at] = (out[at] as number) | ((level & 15) << (part % 2 === 0 ? 0 : 4));
      if (hasFifth) out[16 + i] = (out[16 + i] as number) | ((level >> 4) << part);
    }
  }
}

function putScales(out: Uint8Array, part: number, scale: number, min: number): void {
  if (part < 4) {
    out[part] = (out[part] as number) | scale;
    out[part + 4] = (out[part + 4] as number) | min;
    return;
  }
  out[part + 4] = (scale & 15) | ((min & 15) << 4);
  out[part - 4] = (out[part - 4] as number) | ((scale >> 4) << 6);
  out[part] = (out[part] as number) | ((min >> 4) << 6);
}

function writeQ6(values: Float32Array, out: Uint8Array): void {
  const scales = Array.from({ length: 16 }, (_, part) => {
    const own = values.subarray(part * K_PART_Q6, (part + 1) * K_PART_Q6);
    // The extreme value goes to level 0, since the negative side has one step more.
    return own.reduce((extreme, value) => (Math.abs(value) > Math.abs(extreme) ? value : extreme), 0) / -32;
  });
  const largest = scales.reduce(
    (extreme, scale) => (Math.abs(scale) > Math.abs(extreme) ? scale : extreme),
    0,
  );
  const d = putHalf(out, 208, largest / -128);
  for (const [part, wanted] of scales.entries()) {
    const scale = clamp(steps(wanted, d), -128, 127);
    out[192 + part] = scale;
    for (let i = 0; i < K_PART_Q6; i += 1) {
      const place = part * K_PART_Q6 + i;
      const level = clamp(steps(values[place] as number, d * scale) + 32, 0, 63);
      const run = place >> 5;
      const low = 64 * (run >> 2) + 32 * (run & 1) + (place & 31);
      const high = 128 + 32 * (run >> 2) + (place & 31);
      out[low] = (out[low] as number) | ((level & 15) << ((run & 2) === 0 ? 0 : 4));
      out[high] = (out[high] as number) | ((level >> 4) << (2 * (run & 3)));
    }
  }
}
