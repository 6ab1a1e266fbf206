/** Figures from repeated measurements. */

export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** Of a non-empty list. An even count takes the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = ascending(values);
  const upper = sorted[sorted.length >> 1] as number;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[(sorted.length >> 1) - 1] as number)) / 2;
}

export function spread(values: readonly number[]): Spread {
  const sorted = ascending(values);
  return { median: median(sorted), least: sorted[0] as number, most: sorted.at(-1) as number };
}

/** The nearest rank: the least value that `share` of all values are not above. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = ascending(values);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] as number;
}

function ascending(values: readonly number[]): readonly number[] {
  if (values.length === 0) throw new RangeError("there are no values to take a figure of");
  return [...values].sort((a, b) => a - b);
}

/** Significant digits that such measurements carry, so that result files stay readable. */
export const rounded = (value: number): number => Number(value.toPrecision(4));

export const roundedSpread = ({ median: middle, least, most }: Spread): Spread => ({
  median: rounded(middle),
  least: rounded(least),
  most: rounded(most),
});
