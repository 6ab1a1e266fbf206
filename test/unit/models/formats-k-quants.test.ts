/** K-quants: every bit of a block at its place, read value by value beside the reader, and worked out by hand. */
import { describe, expect, test } from "vitest";
import { uniform } from "../../../engine/core/random.ts";
import { dequantise } from "../../../models/formats/blocks.ts";
import { halfToNumber, numberToHalf } from "../../../models/formats/floats.ts";
import { TYPE_LAYOUT } from "../../../models/formats/ggml-types.ts";
import { quantise } from "../../../models/formats/quantise.ts";

const TYPES = ["Q4_K", "Q5_K", "Q6_K"] as const;
type KType = (typeof TYPES)[number];

/** `count` bits of a byte from bit `first` on. */
const bits = (byte: number | undefined, first: number, count: number): number =>
  ((byte ?? Number.NaN) >> first) % (1 << count);
const single = Math.fround;
const halfAt = (block: Uint8Array, at: number): number =>
  halfToNumber((block[at] as number) + 256 * (block[at + 1] as number));

/** Value `index` of a block as ggml computes it: in single precision, each step rounded. */
function naive(type: KType, block: Uint8Array, index: number): number {
  if (type === "Q6_K") return naiveQ6(block, index);
  const part = Math.floor(index / 32);
  const levels = type === "Q5_K" ? 48 : 16;
  const low = bits(block[levels + 32 * Math.floor(part / 2) + (index % 32)], part % 2 === 1 ? 4 : 0, 4);
  const fifth = type === "Q5_K" ? bits(block[16 + (index % 32)], part, 1) : 0;
  const packed = block.subarray(4, 16);
  const scale =
    part < 4 ? bits(packed[part], 0, 6) : bits(packed[part + 4], 0, 4) + 16 * bits(packed[part - 4], 6, 2);
  const min =
    part < 4 ? bits(packed[part + 4], 0, 6) : bits(packed[part + 4], 4, 4) + 16 * bits(packed[part], 6, 2);
  const step = single(halfAt(block, 0) * scale);
  return single(single(step * (low + 16 * fifth)) - single(halfAt(block, 2) * min));
}

function naiveQ6(block: Uint8Array, index: number): number {
  const half = Math.floor(index / 128);
  const run = Math.floor((index % 128) / 32);
  const lowByte = 64 * half + (run % 2 === 1 ? 32 : 0) + (index % 32);
  const low = bits(block[lowByte], run >= 2 ? 4 : 0, 4);
  const high = bits(block[128 + 32 * half + (index % 32)], 2 * run, 2);
  const scale = new Int8Array(block.slice(192, 208).buffer)[Math.floor(index / 16)] as number;
  return single(single(halfAt(block, 208) * scale) * (low + 16 * high - 32));
}

/** Random bytes; the scales in front or behind are random halves, subnormal ones included, but numbers. */
function randomBlocks(type: KType, count: number): Uint8Array {
  const { blockBytes } = TYPE_LAYOUT[type];
  const bytes = Uint8Array.from({ length: count * blockBytes }, (_, at) => Math.floor(uniform(7, at) * 256));
  for (let block = 0; block < count; block += 1) {
    for (const at of type === "Q6_K" ? [209] : [1, 3]) {
      const place = block * blockBytes + at;
      // An exponent of 31 would be infinity or NaN.
      if (bits(bytes[place], 2, 5) === 31) bytes[place] = (bytes[place] as number) - 4;
    }
  }
  return bytes;
}

describe.each(TYPES)("%s", (type) => {
  test("blocks of random bytes give the values of a reading one by one, to the bit", () => {
    const count = 100;
    const bytes = randomBlocks(type, count);
    const { blockBytes } = TYPE_LAYOUT[type];
    const expected = Float32Array.from({ length: 256 * count }, (_, place) => {
      const block = Math.floor(place / 256);
      return naive(type, bytes.subarray(block * blockBytes, (block + 1) * blockBytes), place % 256);
    });
    expect(expected.every(Number.isFinite)).toBe(true);
    expect(dequantise(type, bytes)).toEqual(expected);
  });

  test("part of a block is refused", () => {
    const { blockBytes } = TYPE_LAYOUT[type];
    expect(() => dequantise(type, new Uint8Array(blockBytes + 1))).toThrow(`not whole blocks of ${type}`);
    expect(() => quantise(type, new Float32Array(255))).toThrow(`255 values are not whole blocks of ${type}`);
  });

  test("zeros stay zeros", () => {
    const back = dequantise(type, quantise(type, new Float32Array(256)));
    expect(back.every((value) => Math.abs(value) === 0)).toBe(true);
  });

  test("values that are all above or all below zero keep their sign and size", () => {
    const values = Float32Array.from({ length: 512 }, (_, i) => (i < 256 ? 1 : -1) * (1 + (i % 32) / 64));
    const back = dequantise(type, quantise(type, values));
    for (const [i, value] of values.entries())
      expect(Math.abs((back[i] as number) - value)).toBeLessThan(0.08);
  });
});

test("a block of Q4_K by hand: part 0 in low halves, part 1 in high ones, scales above 15 from spare bits", () => {
  const block = new Uint8Array(144);
  const half = new Uint16Array([numberToHalf(0.5), numberToHalf(0.25)]);
  block.set(new Uint8Array(half.buffer), 0);
  block[4] = 3 | (1 << 6); // scale of part 0 is 3; two high bits of part 4's scale are 01
  block[8] = 8 | (2 << 6); // min of part 0 is 8; two high bits of part 4's min are 10
  block[12] = 5 | (7 << 4); // the low four bits of part 4's scale and min
  block[16] = 9; // value 0 of part 0
  block[16 + 64] = 2; // value 0 of part 4
  const values = dequantise("Q4_K", block);
  expect(values[0]).toBe(0.5 * 3 * 9 - 0.25 * 8);
  expect(values[1]).toBe(-0.25 * 8);
  expect(values[32]).toBe(0);
  expect(values[128]).toBe(0.5 * (16 + 5) * 2 - 0.25 * (32 + 7));
});

test("a block of Q5_K by hand: one bit more for value i of part p is bit p of byte i", () => {
  const block = new Uint8Array(176);
  block.set(new Uint8Array(Uint16Array.of(numberToHalf(1)).buffer), 0);
  block[5] = 2; // scale of part 1
  block[16 + 3] = 0b10; // fifth bit of value 3 of part 1
  block[48 + 3] = 0x41; // value 3: 1 of part 0, 4 of part 1
  const values = dequantise("Q5_K", block);
  expect([values[3], values[32 + 3], values[32 + 4]]).toEqual([0, 2 * (16 + 4), 0]);
});

test("a block of Q6_K by hand: signed scales of 16 values, 32 being zero", () => {
  const block = new Uint8Array(210);
  block.set(new Uint8Array(Uint16Array.of(numberToHalf(-2)).buffer), 208);
  block[192] = 1;
  block[193] = 0xff; // −1
  block[192 + 14] = 0x80; // −128, of the values 224 to 239
  block[128 + 32] = 0b11 << 6; // high bits of value 224
  block[64 + 32] = 0xf0; // low bits of value 224: the upper half
  const values = dequantise("Q6_K", block);
  expect([values[0], values[15], values[16], values[32]]).toEqual([64, 64, -64, 0]);
  expect(values[224]).toBe(-2 * -128 * (63 - 32));
});
