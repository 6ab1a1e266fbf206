/** Fields that price books and site files share: days, currencies, exact decimals, exchange rates. */
import { z } from "zod";
import { inUnits } from "../../engine/metering/decimal.ts";
import { DOLLAR, type RateRow } from "../../engine/metering/prices.ts";
import { contentHash } from "../checked-yaml.ts";

/** The beginning of a day, in UTC. Undefined for a day that there is not. */
export function dayMs(text: string): number | undefined {
  const ms = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : Number.NaN;
  // 30 February is taken for the 2nd of March by some.
  return Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 10) !== text ? undefined : ms;
}

export const day = z
  .string("must be a day such as 2026-11-23")
  .refine((text) => dayMs(text) !== undefined, "must be a day such as 2026-11-23");

export const currency = z.string().regex(/^[A-Z]{3}$/, "must be three letters of ISO 4217, such as EUR");

export const source = z.string().min(1, "must say where it is from").max(2000);

/** In whole units of 10^-decimals. */
export const decimal = (least: number, most: number, decimals: number) =>
  z
    .number(`must be a number from ${least} to ${most}`)
    .min(least, `must be a number from ${least} to ${most}`)
    .max(most, `must be a number from ${least} to ${most}`)
    .refine((value) => inUnits(value, decimals) !== undefined, `must have at most ${decimals} decimals`)
    .transform((value) => inUnits(value, decimals) as number);

export const rateFields = z.strictObject({
  currency,
  from: day,
  /** Of the currency, for a dollar; in 10^-9. */
  per_usd: decimal(1e-6, 1e6, 9),
  source,
  read: day.optional(),
});
type RateFields = z.output<typeof rateFields>;

/** By currency, the earliest first. */
export function rateRows(given: readonly RateFields[]): ReadonlyMap<string, readonly RateRow[]> {
  const rows = given.map((rate) => ({
    id: `${rate.currency}@${rate.from}#${contentHash(rate).slice(0, 8)}`,
    currency: rate.currency,
    fromMs: dayMs(rate.from) as number,
    nanoPerUsd: rate.per_usd,
  }));
  return Map.groupBy(
    rows.toSorted((a, b) => a.fromMs - b.fromMs),
    (row) => row.currency,
  );
}

/** Where two say the same, or one says what a dollar costs in dollars: its place in the list, and why it cannot stand. */
export function* rateProblems(given: readonly RateFields[]): Iterable<readonly [index: number, why: string]> {
  const seen = new Set<string>();
  for (const [index, { currency: name, from }] of given.entries()) {
    if (name === DOLLAR.currency) yield [index, "is not needed: everything is counted in dollars"];
    if (seen.has(`${name} ${from}`)) yield [index, `there is a rate of ${name} from ${from} before it`];
    seen.add(`${name} ${from}`);
  }
}
