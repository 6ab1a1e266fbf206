/** Weights on their way into a graph: repacking loses nothing, quantising loses what half a step allows. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Bits, dequantiseRows, quantiseRows } from "../../../models/compile/quantise.ts";
import { GGUF_BLOCK, repackBlocks } from "../../../models/compile/repack.ts";
import { dequantise } from "../../../models/formats/blocks.ts";
import { numberToHalf } from "../../../models/formats/floats.ts";

const BLOCK_BYTES = { 4: 18, 8: 34 } as const;
const TYPE = { 4: "Q4_0", 8: "Q8_0" } as const;

/** Blocks with random integers and any finite scale. */
const ggufBlocks = (bits: Bits) =>
  fc
    .array(
      fc.record({
        scale: fc.float({ min: -60_000, max: 60_000, noNaN: true }),
        body: fc.uint8Array({ minLength: BLOCK_BYTES[bits] - 2, maxLength: BLOCK_BYTES[bits] - 2 }),
      }),
      { minLength: 1, maxLength: 6 },
    )
    .map((blocks) => {
      const bytes = new Uint8Array(blocks.length * BLOCK_BYTES[bits]);
      for (const [index, { scale, body }] of blocks.entries()) {
        new DataView(bytes.buffer).setUint16(index * BLOCK_BYTES[bits], numberToHalf(scale), true);
        bytes.set(body, index * BLOCK_BYTES[bits] + 2);
      }
      return bytes;
    });

test.each([4, 8] as const)("repacking %i-bit GGUF blocks keeps every dequantised value", (bits) => {
  fc.assert(
    fc.property(ggufBlocks(bits), (source) => {
      const expected = dequantise(TYPE[bits], source);
      const found = dequantiseRows(repackBlocks(source, bits), expected.length, bits, GGUF_BLOCK);
      // -0 and 0 weigh the same; the layouts may differ in the sign of nothing.
      expect([...found].map((value) => value + 0)).toEqual([...expected].map((value) => value + 0));
    }),
  );
});

const row = (width: number) =>
  fc.array(fc.float({ min: -8, max: 8, noNaN: true }), { minLength: width, maxLength: width });

test.each([
  { bits: 8, block: 32, width: 96 },
  { bits: 8, block: 64, width: 96 },
  { bits: 4, block: 32, width: 96 },
  { bits: 4, block: 128, width: 172 },
] as const)(
  "quantising to $bits bits in blocks of $block errs by at most a step",
  ({ bits, block, width }) => {
    fc.assert(
      fc.property(row(width), row(width), (first, second) => {
        const rows = Float32Array.from([...first, ...second]);
        const found = dequantiseRows(quantiseRows(rows, width, bits, block), width, bits, block);
        expect(found.length).toBe(rows.length);
        for (const [index, value] of rows.entries()) {
          const start = index - ((index % width) % block);
          const end = Math.min(start + block, index - (index % width) + width);
          const largest = Math.max(...rows.slice(start, end).map(Math.abs));
          // 8 bits: half a step of largest / 127. 4 bits: the side away from the extreme value ends one step early.
          const bound = bits === 8 ? largest / 127 / 2 : largest / 8;
          expect(Math.abs((found[index] as number) - value)).toBeLessThanOrEqual(bound * 1.001 + 1e-30);
        }
      }),
      { numRuns: 60 },
    );
  },
);

test("the most extreme value of a 4-bit block is kept, whatever its sign", () => {
  for (const extreme of [5, -5]) {
    const rows = new Float32Array(32).fill(0.1);
    rows[7] = extreme;
    expect(dequantiseRows(quantiseRows(rows, 32, 4, 32), 32, 4, 32)[7]).toBeCloseTo(extreme, 5);
  }
});

test("a block of zeros stays zeros", () => {
  for (const bits of [4, 8] as const) {
    const zeros = new Float32Array(64);
    expect([...dequantiseRows(quantiseRows(zeros, 64, bits, 32), 64, bits, 32)].map(Math.abs)).toEqual([
      ...zeros,
    ]);
  }
});
