/** `weir ledger reprice`: what clouds answered in a stretch of time, at the prices that the book has for that time now. */
import type { LedgerEntry } from "../../engine/core/ledger.ts";
import type { Pricer } from "../../engine/metering/ledger/ledger.ts";
import { cloudCost } from "../../engine/metering/prices.ts";
import { loadConfig } from "../config.ts";
import { type BackendPrices, backendPrices } from "../metering/backend-prices.ts";
import { loadPrices } from "../metering/prices-file.ts";
import { CommandFailure, type ExitCode } from "./failure.ts";
import { openLedger, timeOf } from "./ledger.ts";
import { priceBookOf } from "./meter-prices.ts";
import { type ConfigFlags, flagSettings } from "./settings.ts";
import type { Terminal } from "./terminal.ts";

export interface RepriceFlags extends ConfigFlags {
  readonly from: string;
  readonly to: string;
  readonly prices?: string;
  readonly json?: boolean;
}

export async function repriceLedger(flags: RepriceFlags, terminal: Terminal): Promise<ExitCode> {
  const [from, to] = [timeOf("--from", flags.from), timeOf("--to", flags.to)];
  if (from >= to) throw new CommandFailure(2, "--from must be before --to.");
  const config = loadConfig({ file: flags.config, flags: flagSettings(flags) });
  const book = flags.prices === undefined ? priceBookOf(config) : loadPrices(flags.prices);
  const counting = bookPricer(backendPrices(config.backends, book));
  const { ledger } = openLedger(flags);
  try {
    const { corrections, difference } = await ledger.reprice(from, to, counting.pricer);
    const { priced, unpriced } = counting;
    if (flags.json === true)
      terminal.out(
        JSON.stringify({
          priced,
          unpriced,
          corrections,
          difference_microusd: Number(difference),
          book: book.version,
        }),
      );
    else {
      terminal.out(`lines of clouds that were priced again: ${priced}, by book ${book.version}`);
      terminal.out(
        `${corrections} ${corrections === 1 ? "correction" : "corrections"}, ${dollars(difference)} US dollars together`,
      );
    }
    if (unpriced > 0)
      terminal.err(
        `weir: warning: lines of clouds that keep their cost: ${unpriced}. Their backend or model is not in weir.yaml any ` +
          "more, or the book has no price of it for that time.",
      );
    return 0;
  } finally {
    await ledger.close();
  }
}

/** Cost of the house is by time, and not by the book: those lines stay. */
function bookPricer(prices: BackendPrices): {
  readonly priced: number;
  readonly unpriced: number;
  readonly pricer: Pricer;
} {
  let [priced, unpriced] = [0, 0];
  const pricer = (entry: LedgerEntry) => {
    const price = prices.priceOf(entry.backend, entry.model, entry.at);
    if (entry.line !== "work" || (price === undefined && entry.zone !== "cloud")) return undefined;
    if (price === undefined) {
      unpriced += 1;
      return undefined;
    }
    priced += 1;
    const tokens = {
      prompt: entry.promptTokens,
      cached: entry.cachedTokens,
      completion: entry.completionTokens,
    };
    return { cost: { ...entry.cost, price: cloudCost(price, tokens).price }, priced: price.priced };
  };
  return {
    pricer,
    get priced() {
      return priced;
    },
    get unpriced() {
      return unpriced;
    },
  };
}

/** With its sign, exactly. */
function dollars(microUsd: bigint): string {
  const size = microUsd < 0n ? -microUsd : microUsd;
  return `${microUsd < 0n ? "-" : "+"}${size / 1_000_000n}.${String(size % 1_000_000n).padStart(6, "0")}`;
}
