/** Decimal figures as whole numbers, exactly, and the one rule by which money is rounded. */

/**
 * A figure in whole units of 10^-decimals: 0.075 is 75,000 millionths. Undefined where it has more decimals than that or is
 * too large to be exact.
 */
export function inUnits(value: number, decimals: number): number | undefined {
  const scale = 10 ** decimals;
  const units = Math.round(value * scale);
  return Number.isSafeInteger(units) && units / scale === value ? units : undefined;
}

/** Of figures that are not negative: a half goes up. */
export const divideHalfUp = (dividend: bigint, divisor: bigint): bigint =>
  (2n * dividend + divisor) / (2n * divisor);
