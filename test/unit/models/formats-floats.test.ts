/** Halves, bfloat16 and blocks: every half there is, and blocks worked out by hand. */
import { describe, expect, test } from "vitest";
import { dequantise } from "../../../models/formats/blocks.ts";
import { bf16ToF32, f16ToF32, halfToNumber, numberToHalf } from "../../../models/formats/floats.ts";
import { quantise } from "../../../models/formats/quantise.ts";

const bitsOf = (values: Float32Array<ArrayBuffer>): Uint32Array => new Uint32Array(values.buffer);

/** The definition of binary16, in plain arithmetic. */
function halfByDefinition(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

describe("halves", () => {
  const halves = Uint16Array.from({ length: 65_536 }, (_, half) => half);

  test("all 65,536 widen to their value, subnormal, infinite and NaN ones included", () => {
    const wide = f16ToF32(new Uint8Array(halves.buffer));
    const wrong = [...halves].filter((half) => !Object.is(wide[half], halfByDefinition(half)));
    expect(wrong).toEqual([]);
  });

  test("keep the payload of NaN", () => {
    expect(bitsOf(f16ToF32(Uint8Array.of(0x01, 0xfd)))).toEqual(Uint32Array.of(0xffa02000));
  });

  test("come back from their floats, and other floats go to the nearest half, ties to even", () => {
    const isNan = (half: number): boolean => (half & 0x7fff) > 0x7c00;
    expect([...halves].filter((half) => !isNan(half) && numberToHalf(halfToNumber(half)) !== half)).toEqual(
      [],
    );
    expect(numberToHalf(Number.NaN)).toBe(0x7e00);
    expect(numberToHalf(1 + 2 ** -11)).toBe(0x3c00);
    expect(numberToHalf(1 + 3 * 2 ** -11)).toBe(0x3c02);
    expect(numberToHalf(65_519)).toBe(0x7bff);
    expect(numberToHalf(65_520)).toBe(0x7c00);
    expect(numberToHalf(-(2 ** -25))).toBe(0x8000);
    expect(numberToHalf(3 * 2 ** -25)).toBe(2);
  });

  test("may begin at an odd address", () => {
    expect(f16ToF32(Uint8Array.of(0, 0, 0x3c).subarray(1))).toEqual(Float32Array.of(1));
    expect(bf16ToF32(Uint8Array.of(0, 0x80, 0x3f).subarray(1))).toEqual(Float32Array.of(1));
  });
});

test("bfloat16 is the upper half of a float, NaN and subnormal ones included", () => {
  const upper = Uint16Array.of(0x3f80, 0x8000, 0x7f80, 0x7fc1, 0x0001);
  expect(bitsOf(bf16ToF32(new Uint8Array(upper.buffer)))).toEqual(
    Uint32Array.from(upper, (word) => word * 65_536),
  );
});

describe("blocks", () => {
  test("of Q8_0 are a half and 32 signed bytes", () => {
    const block = new Uint8Array(34);
    block.set([0x00, 0x38], 0); // 0.5
    block.set([0, 1, 127, 128, 255], 2);
    expect([...dequantise("Q8_0", block)].slice(0, 6)).toEqual([0, 0.5, 63.5, -64, -0.5, 0]);
  });

  test("of Q4_0 hold value i low and value i + 16 high, 8 being zero", () => {
    const block = new Uint8Array(18).fill(0x88);
    block.set([0x00, 0xc0, 0xf0, 0x19], 0); // −2; first byte: low 0, high 15; second: low 9, high 1
    const values = dequantise("Q4_0", block);
    expect([values[0], values[16], values[1], values[17], values[2]]).toEqual([16, -14, -2, 14, -0]);
  });

  test("follow each other", () => {
    const blocks = new Uint8Array(36).fill(0x99);
    blocks.set([0x00, 0x3c], 0);
    blocks.set([0x00, 0x40], 18);
    expect([...dequantise("Q4_0", blocks)]).toEqual([...new Array(32).fill(1), ...new Array(32).fill(2)]);
  });

  test("of part of a block are refused", () => {
    expect(() => dequantise("Q8_0", new Uint8Array(35))).toThrow("35 bytes are not whole blocks of Q8_0");
    expect(() => quantise("Q4_0", new Float32Array(31))).toThrow("31 values are not whole blocks of Q4_0");
  });
});

describe("quantising", () => {
  const values = Float32Array.from(
    { length: 64 },
    (_, index) => Math.sin(index * 1.7) * (index < 32 ? 3 : 0.01),
  );

  test.each([
    ["F32", 0],
    ["F16", 2 ** -11],
    ["BF16", 2 ** -8],
    ["Q8_0", 1 / 254],
    ["Q4_0", 1 / 8],
  ] as const)("to %s and back loses at most its step", (type, step) => {
    const back = dequantise(type, quantise(type, values));
    for (const [index, value] of values.entries()) {
      const largest = index < 32 ? 3 : 0.01;
      expect(Math.abs((back[index] as number) - value)).toBeLessThanOrEqual(
        largest * (step + 2 ** -11) * (step > 0 ? 1 : 0),
      );
    }
  });

  test.each(["Q8_0", "Q4_0"] as const)("zeros to %s gives zeros", (type) => {
    expect(
      dequantise(type, quantise(type, new Float32Array(32))).every((value) => Math.abs(value) === 0),
    ).toBe(true);
  });

  test.each(["F16", "BF16", "Q8_0", "Q4_0"] as const)("what is in %s already changes nothing", (type) => {
    const once = dequantise(type, quantise(type, values));
    expect(dequantise(type, quantise(type, once))).toEqual(once);
  });
});
