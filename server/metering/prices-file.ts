/** prices.yaml: what clouds charge, as dated rows, and what dollars cost. The one that comes with weir stands beside this file. */
import { join } from "node:path";
import { z } from "zod";
import type { PriceBook, PriceRow, TokenPrices } from "../../engine/metering/prices.ts";
import { checkYaml, contentHash, readYamlText, YamlFileError } from "../checked-yaml.ts";
import { priceProvider } from "../config/backend.ts";
import { currency, day, dayMs, decimal, rateFields, rateProblems, rateRows, source } from "./figures.ts";

const vendorModel = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,199}$/, "must be a model's name as the vendor knows it");

/** Six decimals of a million tokens are twelve of a token. */
const perMillion = decimal(0, 1_000_000, 6);
const tokenPrices = {
  input: perMillion,
  cached_input: perMillion.optional(),
  output: perMillion,
  reasoning: perMillion.optional(),
};

const rowSchema = z.strictObject({
  provider: priceProvider,
  model: vendorModel.optional(),
  models: z.array(vendorModel).min(1).max(64).optional(),
  from: day,
  currency: currency.default("USD"),
  per_million: z.strictObject(tokenPrices),
  long_prompt: z.strictObject({ above: z.int().min(1).max(100_000_000), ...tokenPrices }).optional(),
  source,
  read: day,
  note: z.string().max(2000).optional(),
});
type Row = z.output<typeof rowSchema>;

const bookSchema = z.strictObject({
  version: z.literal(1),
  prices: z.array(rowSchema).max(10_000).default([]),
  rates: z.array(rateFields).max(10_000).default([]),
});
type Book = z.output<typeof bookSchema>;

/** For a million tokens, in 10^-6; more than anybody asks, and little enough that no answer's cost is beyond exact numbers. */
const USD_MAX = 1e12;

const SHIPPED = join(import.meta.dirname, "prices.yaml");

/** Where a price book is: the one that comes with weir where none is named. Throws YamlFileError. */
export const loadPrices = (file: string | undefined): PriceBook =>
  parsePrices(readYamlText(file ?? SHIPPED), file ?? "prices.yaml (of weir)");

/** `file` is only for messages. Throws YamlFileError. */
export function parsePrices(text: string, file: string): PriceBook {
  const { data, problem } = checkYaml(text, file, { schema: bookSchema, noun: "price book" });
  const crossed = [...crossProblems(data)].map(([path, message]) => problem(path, message));
  if (crossed.length > 0) throw new YamlFileError(crossed);
  const rows = data.prices
    .flatMap((row) => modelsOf(row).map((model) => rowOf(row, model)))
    .toSorted((a, b) => a.fromMs - b.fromMs);
  const byModel = [...Map.groupBy(rows, (row) => row.provider)].map(
    ([provider, its]) => [provider, Map.groupBy(its, (row) => row.model)] as const,
  );
  return { version: contentHash(data), rows: new Map(byModel), rates: rateRows(data.rates) };
}

const modelsOf = ({ model, models }: Row): readonly string[] => [
  ...(model === undefined ? [] : [model]),
  ...(models ?? []),
];

type Prices = Row["per_million"];

const pricesOf = ({ input, cached_input: cached, output, reasoning }: Prices): TokenPrices => ({
  input,
  cachedInput: cached ?? input,
  output,
  reasoning: reasoning ?? output,
});

function rowOf(row: Row, model: string): PriceRow {
  const { provider, from, currency: money, per_million: base, long_prompt: long } = row;
  const said = { money, base: pricesOf(base), long: long && { ...pricesOf(long), above: long.above } };
  return {
    id: `${provider}/${model}@${from}#${contentHash(said).slice(0, 8)}`,
    provider,
    model,
    fromMs: dayMs(from) as number,
    currency: money,
    prices: said.base,
    long: long && { above: long.above, prices: pricesOf(long) },
    source: row.source,
    readMs: dayMs(row.read) as number,
  };
}

type Crossed = readonly [path: readonly PropertyKey[], message: string];

/** What no single field shows. */
function* crossProblems({ prices, rates }: Book): Iterable<Crossed> {
  const leastPerUsd = new Map([["USD", 1e9]]);
  for (const { currency: money, per_usd: perUsd } of rates)
    leastPerUsd.set(money, Math.min(perUsd, leastPerUsd.get(money) ?? perUsd));
  const seen = new Set<string>();
  for (const [index, row] of prices.entries()) {
    const at = ["prices", index];
    const perUsd = leastPerUsd.get(row.currency);
    if (perUsd === undefined) yield [[...at, "currency"], `there is no rate of ${row.currency} under rates`];
    else yield* figureProblems(row, perUsd, at);
    if (modelsOf(row).length === 0) yield [at, "must name a model, or several as models"];
    for (const model of modelsOf(row)) {
      const key = JSON.stringify([row.provider, model, row.from]);
      if (seen.has(key))
        yield [at, `there is a price of ${row.provider}/${model} from ${row.from} before it`];
      seen.add(key);
    }
  }
  for (const [index, why] of rateProblems(rates)) yield [["rates", index], why];
}

const FIELDS = [
  ["input", "input"],
  ["cachedInput", "cached_input"],
  ["output", "output"],
  ["reasoning", "reasoning"],
] as const;

/** `perUsd`: the least that a dollar ever costs, in 10^-9 of the row's currency. */
function* figureProblems(
  { per_million: base, long_prompt: long }: Row,
  perUsd: number,
  at: readonly PropertyKey[],
): Iterable<Crossed> {
  for (const [part, given] of Object.entries({ per_million: base, long_prompt: long })) {
    if (given === undefined) continue;
    const figures = pricesOf(given);
    for (const [name, field] of FIELDS) {
      const path = [...at, part, field];
      if ((figures[name] / perUsd) * 1e9 > USD_MAX)
        yield [path, "is more than a million dollars for a million tokens"];
      // A longer prompt is never cheaper: what is reserved for the worst case would not be enough.
      if (part === "long_prompt" && figures[name] < pricesOf(base)[name])
        yield [path, `must be at least per_million's ${field}`];
    }
    if (figures.cachedInput > figures.input)
      yield [[...at, part, "cached_input"], "must not be more than input"];
  }
}
