/** Energy as the meter knows it: whole microjoules, and with each figure how it is known and how sure that is. */
import type { Brand } from "./brand.ts";

/** 10^-6 J; 1 Wh = 3.6e9. Whole numbers: 2^53 of them are 2.5 MWh. */
export type Microjoules = Brand<number, "Microjoules">;

export const microjoules = (value: number): Microjoules => value as Microjoules;

/**
 * Best first. `measured`: a counter of the hardware over that very time. `calibrated`: a model that was fitted to this machine.
 * `modelled`: from what the work was. `declared`: from what somebody wrote down, such as a rated power.
 */
export const ENERGY_TIERS = ["measured", "calibrated", "modelled", "declared"] as const;
export type EnergyTier = (typeof ENERGY_TIERS)[number];

/** The worse of two: a sum is known no better than its parts. */
const worseTier = (a: EnergyTier, b: EnergyTier): EnergyTier =>
  ENERGY_TIERS.indexOf(a) > ENERGY_TIERS.indexOf(b) ? a : b;

export interface Energy {
  readonly uj: Microjoules;
  /** 90 % interval around it. */
  readonly lowUj: Microjoules;
  readonly highUj: Microjoules;
  readonly tier: EnergyTier;
}

export const NO_ENERGY: Energy = {
  uj: microjoules(0),
  lowUj: microjoules(0),
  highUj: microjoules(0),
  tier: "measured",
};

/** Intervals add up as if errors went together: they mostly have one cause, the same counter or model. */
export const addEnergy = (a: Energy, b: Energy): Energy => ({
  uj: microjoules(a.uj + b.uj),
  lowUj: microjoules(a.lowUj + b.lowUj),
  highUj: microjoules(a.highUj + b.highUj),
  tier: a.uj === 0 ? b.tier : b.uj === 0 ? a.tier : worseTier(a.tier, b.tier),
});

/**
 * Whole parts of a whole, in proportion to weights (all the same where they sum to 0): largest remainders get what rounding
 * leaves, so that the parts always add up to `total`. Throws RangeError for no weights and for negative ones.
 */
export function splitExactly(total: number, weights: readonly number[]): readonly number[] {
  if (weights.length === 0 || weights.some((weight) => !(weight >= 0)))
    throw new RangeError("a whole is split by weights of 0 or more, and at least one");
  const sum = weights.reduce((a, b) => a + b, 0);
  const exact = weights.map((weight) => (sum === 0 ? total / weights.length : total * (weight / sum)));
  const parts = exact.map(Math.floor);
  let missing = total - parts.reduce((a, b) => a + b, 0);
  const byRemainder = exact
    .map((value, index) => [value - Math.floor(value), index] as const)
    .sort(([a, i], [b, j]) => b - a || i - j);
  for (let turn = 0; missing !== 0; turn += 1) {
    const [, index] = byRemainder[turn % byRemainder.length] as readonly [number, number];
    const step = Math.sign(missing);
    // A part may be one too large where the product was rounded up; it never falls below 0.
    if ((parts[index] as number) + step < 0) continue;
    parts[index] = (parts[index] as number) + step;
    missing -= step;
  }
  return parts;
}
