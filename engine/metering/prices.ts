/**
 * What clouds charge: dated rows of prices, and the cost of an answer by them in whole micro-dollars. Pure, and exact until the
 * one rounding at the end, so that the same counts under the same book cost the same bits on any machine, in any month.
 */
import { type CostParts, microUsd } from "../core/ledger.ts";
import { divideHalfUp } from "./decimal.ts";

/** Each in 10^-12 of the row's currency a token, which is 10^-6 of it a million tokens. Whole numbers. */
export interface TokenPrices {
  readonly input: number;
  /** Of prompt tokens that the vendor had in its cache. */
  readonly cachedInput: number;
  readonly output: number;
  /** Of tokens that a model thinks with. */
  readonly reasoning: number;
}

export interface PriceRow {
  /** Names the row and what it says: a row that was edited has another. */
  readonly id: string;
  readonly provider: string;
  /** As the vendor calls it. */
  readonly model: string;
  /** Milliseconds since 1970: in force from then until the next row of the model. */
  readonly fromMs: number;
  /** ISO 4217. */
  readonly currency: string;
  readonly prices: TokenPrices;
  /** Where all of a request costs more once its prompt is longer than so many tokens. */
  readonly long: { readonly above: number; readonly prices: TokenPrices } | undefined;
  readonly source: string;
  /** The day on which the source was read, in milliseconds since 1970. */
  readonly readMs: number;
}

/** What a dollar costs in another currency. */
export interface RateRow {
  readonly id: string;
  readonly currency: string;
  /** Milliseconds since 1970: in force from then until the next row of the currency. */
  readonly fromMs: number;
  /** 10^-9 of the currency for a dollar. */
  readonly nanoPerUsd: number;
}

export interface PriceBook {
  /** Hash of all that it says. */
  readonly version: string;
  /** By provider, then model; the earliest row first. */
  readonly rows: ReadonlyMap<string, ReadonlyMap<string, readonly PriceRow[]>>;
  /** By currency; the earliest row first. */
  readonly rates: ReadonlyMap<string, readonly RateRow[]>;
}

/** All that an answer's cost is by. */
export interface Price {
  readonly row: PriceRow;
  readonly rate: RateRow;
  /** For the ledger's `priced`. */
  readonly priced: string;
}

export interface TokenCounts {
  /** The cached ones among them. */
  readonly prompt: number;
  readonly cached: number;
  /** The ones of reasoning among them. */
  readonly completion: number;
  /** Where it is not known, all of `completion` is taken at the higher of the two prices. */
  readonly reasoning?: number;
}

export const DOLLAR: RateRow = { id: "USD", currency: "USD", fromMs: -Infinity, nanoPerUsd: 1e9 };

/** The last of rows, the earliest first, that has begun. */
export const inForce = <Row extends { readonly fromMs: number }>(
  rows: readonly Row[],
  at: number,
): Row | undefined => rows.findLast(({ fromMs }) => fromMs <= at);

/**
 * Undefined where nobody wrote down what it costs: there is no row of exactly this name, none has begun by then, or its
 * currency has no rate. That is never a price of 0: a route to it must be refused.
 */
export function priceOf(
  book: PriceBook,
  { provider, model, at }: { readonly provider: string; readonly model: string; readonly at: number },
): Price | undefined {
  const row = inForce(book.rows.get(provider)?.get(model) ?? [], at);
  if (row === undefined) return undefined;
  if (row.currency === DOLLAR.currency) return { row, rate: DOLLAR, priced: row.id };
  const rate = inForce(book.rates.get(row.currency) ?? [], at);
  return rate && { row, rate, priced: `${row.id}~${rate.id}` };
}

/** Rounded once, half up. Throws RangeError for counts that are not whole numbers of 0 or more. */
export function cloudCost({ row, rate }: Price, tokens: TokenCounts): CostParts {
  const { input, cachedInput, output, reasoning } =
    row.long !== undefined && tokens.prompt > row.long.above ? row.long.prices : row.prices;
  const cached = Math.min(tokens.cached, tokens.prompt);
  const thought = Math.min(tokens.reasoning ?? 0, tokens.completion);
  const said = tokens.reasoning === undefined ? Math.max(output, reasoning) : output;
  const pico = [
    [tokens.prompt - cached, input],
    [cached, cachedInput],
    [tokens.completion - thought, said],
    [thought, reasoning],
  ].reduce((sum, [count = 0, price = 0]) => sum + BigInt(count) * BigInt(price), 0n);
  if (tokens.prompt < 0 || cached < 0 || tokens.completion < 0 || thought < 0)
    throw new RangeError("tokens are counted from 0");
  // 10^-12 of the currency to 10^-6 dollars at 10^-9 of the currency a dollar.
  return {
    price: microUsd(Number(divideHalfUp(pico * 1000n, BigInt(rate.nanoPerUsd)))),
    energy: microUsd(0),
    hardware: microUsd(0),
  };
}
