/** The energy of a cloud's answer: what was published comes out, and more work never takes less. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { cloudEnergy } from "../../../engine/metering/cloud-energy.ts";

const WH = 3_600_000_000;
const of = (prompt: number, completion: number, cached = 0) => cloudEnergy({ prompt, cached, completion });

test("three published estimates come out: 0.3, 2.5 and 40 Wh", () => {
  expect(of(0, 500).uj / WH).toBeCloseTo(0.3, 3);
  expect(of(10_000, 500).uj / WH).toBeCloseTo(2.5, 1);
  expect(of(100_000, 500).uj / WH).toBeCloseTo(40, 0);
});

test("what vendors say of a usual prompt lies within its interval", () => {
  for (const [prompt, completion] of [
    [50, 150],
    [200, 300],
    [1000, 500],
  ] as const) {
    const { lowUj, highUj, tier } = of(prompt, completion);
    expect(tier).toBe("modelled");
    for (const said of [0.24, 0.34])
      expect(lowUj <= said * WH && said * WH <= highUj, `${prompt}`).toBe(true);
  }
});

test("more tokens never take less, cached ones less than computed ones, and all is whole and ordered", () => {
  const count = fc.oneof(fc.nat(2000), fc.nat(100_000_000));
  fc.assert(
    fc.property(count, count, count, fc.nat(1000), (prompt, completion, cached, more) => {
      const energy = of(prompt, completion, cached);
      expect([energy.uj, energy.lowUj, energy.highUj].every(Number.isSafeInteger)).toBe(true);
      expect(energy.lowUj <= energy.uj && energy.uj <= energy.highUj).toBe(true);
      expect(of(prompt + more, completion, cached).uj).toBeGreaterThanOrEqual(energy.uj);
      expect(of(prompt, completion + more, cached).uj).toBeGreaterThanOrEqual(energy.uj);
      expect(energy.uj).toBeLessThanOrEqual(of(prompt, completion).uj);
    }),
    { numRuns: 2000 },
  );
});
