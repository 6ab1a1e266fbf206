/** What an answer of a cloud costs: exact, the same on every machine, never less for more, and never 0 for want of a price. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { inUnits } from "../../engine/metering/decimal.ts";
import {
  cloudCost,
  DOLLAR,
  type Price,
  type PriceRow,
  priceOf,
  type TokenCounts,
} from "../../engine/metering/prices.ts";
import { parsePrices } from "../../server/metering/prices-file.ts";

const prices = fc
  .record({
    input: fc.integer({ min: 1, max: 1_000_000_000 }),
    output: fc.integer({ min: 1, max: 1_000_000_000 }),
    reasoning: fc.integer({ min: 1, max: 1_000_000_000 }),
    part: fc.integer({ min: 0, max: 100 }),
  })
  .map(({ part, ...rest }) => ({ ...rest, cachedInput: Math.floor((rest.input * part) / 100) }));
const row = (given: PriceRow["prices"], long?: PriceRow["long"]): PriceRow => ({
  id: "p/m@2026-01-01#0",
  provider: "p",
  model: "m",
  fromMs: 0,
  currency: "EUR",
  prices: given,
  long,
  source: "test",
  readMs: 0,
});
const price = fc
  .record({
    prices,
    nanoPerUsd: fc.oneof(fc.constant(1e9), fc.integer({ min: 1_000_000, max: 200_000_000_000 })),
  })
  .map(
    ({ prices: given, nanoPerUsd }): Price => ({
      row: row(given),
      rate: { ...DOLLAR, nanoPerUsd },
      priced: "",
    }),
  );
const count = fc.oneof(fc.integer({ min: 0, max: 2000 }), fc.integer({ min: 0, max: 100_000_000 }));
const tokens = fc
  .record({ fresh: count, cached: count, said: count, thought: count })
  .map(({ fresh, cached, said, thought }) => ({
    prompt: fresh + cached,
    cached,
    completion: said + thought,
    reasoning: thought,
  }));

const sum = (a: TokenCounts, b: TokenCounts): TokenCounts => ({
  prompt: a.prompt + b.prompt,
  cached: a.cached + b.cached,
  completion: a.completion + b.completion,
  reasoning: (a.reasoning ?? 0) + (b.reasoning ?? 0),
});

describe("the cost of an answer", () => {
  test("is the exact sum, rounded half up once", () => {
    fc.assert(
      fc.property(price, tokens, (given, counts) => {
        const { input, cachedInput, output, reasoning } = given.row.prices;
        const pico =
          BigInt(counts.prompt - counts.cached) * BigInt(input) +
          BigInt(counts.cached) * BigInt(cachedInput) +
          BigInt(counts.completion - counts.reasoning) * BigInt(output) +
          BigInt(counts.reasoning) * BigInt(reasoning);
        const rate = BigInt(given.rate.nanoPerUsd);
        const cost = BigInt(cloudCost(given, counts).price);
        // cost - 1/2 <= exact < cost + 1/2, with exact = pico * 1000 / rate
        expect(
          2n * pico * 1000n >= (2n * cost - 1n) * rate && 2n * pico * 1000n < (2n * cost + 1n) * rate,
        ).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  test("of two answers is what one of both would cost, within a micro-dollar", () => {
    fc.assert(
      fc.property(price, tokens, tokens, (given, a, b) => {
        const apart = cloudCost(given, a).price + cloudCost(given, b).price;
        expect(Math.abs(apart - cloudCost(given, sum(a, b)).price)).toBeLessThanOrEqual(1);
      }),
      { numRuns: 1000 },
    );
  });

  test("never falls as any count grows, also where the prompt becomes a long one", () => {
    fc.assert(
      fc.property(price, tokens, tokens, fc.integer({ min: 1, max: 3000 }), (given, a, more, above) => {
        const { input, cachedInput, output, reasoning } = given.row.prices;
        const dearer = { input: 2 * input, cachedInput: 3 * cachedInput, output, reasoning: reasoning + 1 };
        for (const each of [given, { ...given, row: row(given.row.prices, { above, prices: dearer }) }])
          expect(cloudCost(each, sum(a, more)).price).toBeGreaterThanOrEqual(cloudCost(each, a).price);
      }),
      { numRuns: 1000 },
    );
  });

  test("takes the dearer of output and reasoning where nobody says how much was which", () => {
    fc.assert(
      fc.property(price, tokens, (given, { reasoning, ...unknown }) => {
        expect(cloudCost(given, unknown).price).toBeGreaterThanOrEqual(
          cloudCost(given, { ...unknown, reasoning }).price,
        );
      }),
      { numRuns: 500 },
    );
  });

  test("counts no more cached tokens than the prompt has, nor more of reasoning than the answer", () => {
    const given: Price = {
      row: row({ input: 1e6, cachedInput: 0, output: 1e6, reasoning: 5e6 }),
      rate: DOLLAR,
      priced: "",
    };
    expect(cloudCost(given, { prompt: 3, cached: 9, completion: 2, reasoning: 7 }).price).toBe(10);
    expect(() => cloudCost(given, { prompt: 3, cached: -1, completion: 0 })).toThrow(RangeError);
    expect(() => cloudCost(given, { prompt: 0.5, cached: 0, completion: 0 })).toThrow(RangeError);
  });
});

const day = (index: number): string => new Date(Date.UTC(2026, 0, 1 + index)).toISOString().slice(0, 10);
const book = (days: readonly number[], currency = "USD", rates: readonly number[] = []) =>
  parsePrices(
    JSON.stringify({
      version: 1,
      prices: days.map((index) => ({
        provider: "p",
        model: "m",
        from: day(index),
        currency,
        per_million: { input: index + 1, output: 1 },
        source: "test",
        read: day(0),
      })),
      rates: rates.map((index) => ({ currency, from: day(index), per_usd: index + 1, source: "test" })),
    }),
    "prices.yaml",
  );
const indices = fc.uniqueArray(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 8 });

describe("the row in force", () => {
  test("is the last that has begun, from the first millisecond of its day in UTC to the last before the next", () => {
    fc.assert(
      fc.property(indices, (days) => {
        const given = book(days);
        const sorted = days.toSorted((a, b) => a - b);
        const inputAt = (at: number) => priceOf(given, { provider: "p", model: "m", at })?.row.prices.input;
        for (const [index, from] of sorted.entries()) {
          const begins = Date.UTC(2026, 0, 1 + from);
          const before = index === 0 ? undefined : (sorted[index - 1] as number) + 1;
          expect(inputAt(begins)).toBe((from + 1) * 1_000_000);
          expect(inputAt(begins - 1)).toBe(before === undefined ? undefined : before * 1_000_000);
        }
        expect(inputAt(Number.NaN)).toBeUndefined();
      }),
      { numRuns: 200 },
    );
  });

  test("of another currency needs a rate that has begun, and what it is by names both", () => {
    fc.assert(
      fc.property(indices, indices, fc.integer({ min: 0, max: 70 }), (days, rates, at) => {
        const found = priceOf(book(days, "EUR", rates), {
          provider: "p",
          model: "m",
          at: Date.UTC(2026, 0, 1 + at),
        });
        const last = (of: readonly number[]) => of.filter((each) => each <= at).toSorted((a, b) => b - a)[0];
        const [row_, rate] = [last(days), last(rates)];
        expect(found?.rate.nanoPerUsd).toBe(
          row_ === undefined || rate === undefined ? undefined : (rate + 1) * 1e9,
        );
        if (found !== undefined)
          expect(found.priced).toMatch(/^p\/m@2026-\d\d-\d\d#[0-9a-f]{8}~EUR@2026-\d\d-\d\d#[0-9a-f]{8}$/);
      }),
      { numRuns: 200 },
    );
  });

  test("is nobody's for a name that is not exactly its own", () => {
    const given = book([0]);
    const at = Date.UTC(2026, 5, 1);
    for (const [provider, model] of [
      ["p", "m2"],
      ["p", "M"],
      ["p", "m-2026"],
      ["p", ""],
      ["q", "m"],
      ["__proto__", "m"],
      ["p", "constructor"],
    ] as const)
      expect(priceOf(given, { provider, model, at }), `${provider}/${model}`).toBeUndefined();
  });

  test("costs the same bits in whatever order the file has its rows", () => {
    fc.assert(
      fc.property(indices, tokens, fc.integer({ min: 0, max: 60 }), (days, counts, at) => {
        const costs = [days, days.toReversed()].map((order) => {
          const found = priceOf(book(order), { provider: "p", model: "m", at: Date.UTC(2026, 0, 1 + at) });
          return found && { ...cloudCost(found, counts), by: found.priced };
        });
        expect(costs[0]).toEqual(costs[1]);
      }),
      { numRuns: 200 },
    );
  });
});

test("a decimal is taken for exactly what is written, or not at all", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 1_000_000_000 }),
      fc.integer({ min: 0, max: 9 }),
      (units, decimals) => {
        const text = (BigInt(units) + 10n ** 12n).toString();
        const written = `${BigInt(text.slice(0, text.length - decimals)) - 10n ** BigInt(12 - decimals)}.${
          decimals === 0 ? "0" : text.slice(text.length - decimals)
        }`;
        expect(inUnits(Number(written), decimals), written).toBe(units);
      },
    ),
    { numRuns: 2000 },
  );
  expect(inUnits(0.0000001, 6)).toBeUndefined();
  expect(inUnits(0.1 + 0.2, 6)).toBeUndefined();
  expect(inUnits(1e16, 6)).toBeUndefined();
  expect(inUnits(Number.NaN, 6)).toBeUndefined();
});
