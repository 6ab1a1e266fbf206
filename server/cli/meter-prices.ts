/** `weir meter prices`: the rows of the price book that are in force, how old they are, and what has no price. */
import type { Clock } from "../../engine/core/clock.ts";
import { inForce, type PriceBook, type PriceRow, type TokenPrices } from "../../engine/metering/prices.ts";
import { type Config, formatProblem, inspectConfig } from "../config.ts";
import { unpriced } from "../metering/backend-prices.ts";
import { loadPrices } from "../metering/prices-file.ts";
import { CommandFailure, type ExitCode } from "./failure.ts";
import { type ConfigFlags, flagSettings } from "./settings.ts";
import { table } from "./table.ts";
import type { Terminal } from "./terminal.ts";

export interface PricesFlags extends ConfigFlags {
  readonly at?: string;
  readonly json?: boolean;
}

const DAY_MS = 86_400_000;
/** Vendors change prices every few months. */
const OLD_DAYS = 180;

/** The book that a server with this configuration goes by. Throws YamlFileError. */
export const priceBookOf = (_config: Config): PriceBook => loadPrices(undefined);

/** Exit code 2 for a bad date or a bad file; prices that are old or missing are warnings. */
export function meterPrices(
  file: string | undefined,
  flags: PricesFlags,
  { clock, terminal }: { readonly clock: Clock; readonly terminal: Terminal },
): ExitCode {
  const { config } = inspectConfig({ file: flags.config, flags: flagSettings(flags) });
  const book = file === undefined ? priceBookOf(config) : loadPrices(file);
  const now = clock.wall();
  const at = flags.at === undefined ? now : momentOf(flags.at);
  const rows = [...book.rows.values()]
    .flatMap((models) => [...models.values()])
    .flatMap((its) => inForce(its, at) ?? [])
    .toSorted((a, b) => compare(a.provider, b.provider) || compare(a.model, b.model));
  const missing = unpriced(config, book, at);
  const shown = rows.map((row) => ({ ...view(row), age_days: ageDays(row, now) }));
  if (flags.json === true) {
    const names = missing.map(({ path, message }) => ({ path, message }));
    const json = { at: new Date(at).toISOString(), version: book.version, prices: shown, unpriced: names };
    terminal.out(JSON.stringify(json, undefined, 2));
  } else {
    for (const line of listing(shown)) terminal.out(line);
    terminal.out(
      `${rows.length} prices in force on ${dayOf(at)}, for a million tokens. Book ${book.version}`,
    );
  }
  const old = rows.filter((row) => ageDays(row, now) > OLD_DAYS);
  if (old.length > 0)
    terminal.err(
      `weir: warning: ${old.length === 1 ? "1 price was" : `${old.length} prices were`} read more than ` +
        `${OLD_DAYS} days ago (${old.map((row) => `${row.provider}/${row.model}`).join(", ")}). Check them at ` +
        "their source, and add rows with what holds now to a price book of your own.",
    );
  for (const problem of missing) terminal.err(`weir: warning: ${formatProblem(problem)}`);
  return 0;
}

function momentOf(text: string): number {
  const ms = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms))
    throw new CommandFailure(2, `--at ${text} is no date, such as 2026-12-31 or 2026-12-31T18:00:00Z.`);
  return ms;
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const ageDays = ({ readMs }: PriceRow, now: number): number => Math.floor((now - readMs) / DAY_MS);
const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

/** In the words of the file. */
const figures = ({ input, cachedInput, output, reasoning }: TokenPrices) => ({
  input: input / 1e6,
  cached_input: cachedInput / 1e6,
  output: output / 1e6,
  reasoning: reasoning / 1e6,
});

const view = (row: PriceRow) => ({
  id: row.id,
  provider: row.provider,
  model: row.model,
  from: dayOf(row.fromMs),
  currency: row.currency,
  per_million: figures(row.prices),
  ...(row.long && { long_prompt: { above: row.long.above, ...figures(row.long.prices) } }),
  source: row.source,
  read: dayOf(row.readMs),
});
type View = ReturnType<typeof view>;

function listing(views: readonly View[]): readonly string[] {
  if (views.length === 0) return [];
  const head = ["PROVIDER", "MODEL", "FROM", "INPUT", "CACHED", "OUTPUT", "", "LONG PROMPTS", "READ"];
  const rows = views.map((each) => {
    const { input, cached_input: cached, output } = each.per_million;
    const long = each.long_prompt;
    const longer = long && `> ${long.above}: ${long.input} ${long.cached_input} ${long.output}`;
    const prices = [String(input), String(cached), String(output), each.currency];
    return [each.provider, each.model, each.from, ...prices, longer ?? "", each.read];
  });
  return table([head, ...rows]);
}
