/**
 * The ledger: every line of what was used, once, for ever or until it is compacted, and its sums. SQLite keeps it for one
 * gateway (`sqlite.ts`); whatever keeps it passes `test/contract/ledger-suite.ts`. It holds no text of any request.
 */
import type { LedgerEntry } from "../../core/ledger.ts";

/**
 * What became of a line that was handed in. An entry is known by (request, choice, attempt, line).
 * `duplicate`: the very same entry is there already; it counts once. `reused`: another entry is there under that identity.
 * Ids of requests come from clients, who may send one twice: such an entry is a line of its own, or the second request
 * would be free.
 */
export type Appended = "appended" | "duplicate" | "reused";

/** What usage can be grouped by. Persons are no such thing: of them only groups that are large enough may be shown. */
export const GROUPINGS = [
  "team",
  "key",
  "model",
  "zone",
  "agent",
  "backend",
  "class",
  "tier",
  "line",
  "hour",
  "day",
] as const;
export type Grouping = (typeof GROUPINGS)[number];
/** What a question can be narrowed to. */
export type Dimension = Exclude<Grouping, "hour" | "day">;

export interface UsageQuery {
  /** Milliseconds since 1970; a line counts where its `at` is in [from, to). */
  readonly from: number;
  readonly to: number;
  readonly groupBy?: Grouping;
  /** Only lines with these values; undefined as a value: those that have none. */
  readonly where?: Readonly<Partial<Record<Dimension, string | undefined>>>;
}

/**
 * Exact sums. Energy and money are BigInt: 2^53 microjoules are 2.5 MWh, which a house with GPUs uses in weeks. Counts and
 * tokens stay below 2^53.
 */
export interface Sums {
  /** Requests, each counted once, with the first of its lines; idle and overhead count none. */
  readonly requests: number;
  /** Entries, without corrections of their prices. */
  readonly lines: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  /** Microjoules; `low` and `high` bound them with 90 %, as if errors went together. */
  readonly energyUj: bigint;
  readonly energyLowUj: bigint;
  readonly energyHighUj: bigint;
  /** Micro-dollars; they add up to the cost. */
  readonly cost: { readonly price: bigint; readonly energy: bigint; readonly hardware: bigint };
}

export interface UsageGroup extends Sums {
  /** Of `hour` and `day`: its first instant, ISO 8601. undefined: lines that have no such value, as idle has no team. */
  readonly group: string | undefined;
}

export interface Usage {
  readonly total: Sums;
  /** They add up to the total. By name or time, those without one last; empty without `groupBy`. */
  readonly groups: readonly UsageGroup[];
  /** Before it only whole days (UTC) are known: such a day counts where its first instant is in [from, to). 0 = none. */
  readonly daysBefore: number;
}

/** A line as it stands in the chain. The sum over the lines of a request is what it cost. */
export interface Recorded {
  /** From 1, without gaps. */
  readonly seq: number;
  readonly entry: LedgerEntry;
  /**
   * Set where this line corrects the price of the line with that number: its cost is the difference, which may be negative;
   * it has no energy and no tokens, and the `at` of what it corrects, so that the sums of that time become right.
   */
  readonly corrects: number | undefined;
  /** Whether it is counted as a request. */
  readonly counted: boolean;
  /** SHA-256 over the line before and this one, hex. */
  readonly hash: string;
}

/** What an entry costs by another book; undefined = no other price is known: it stays as it is. */
export type Pricer = (entry: LedgerEntry) => Pick<LedgerEntry, "cost" | "priced"> | undefined;

export interface Repriced {
  /** Entries that were looked at. */
  readonly entries: number;
  /** Correction lines that were written; 0 where the book says what the ledger says. */
  readonly corrections: number;
  /** Micro-dollars by which the cost changed. */
  readonly difference: bigint;
}

export interface Compacted {
  /** Lines that were removed; their sums stay, day by day. */
  readonly lines: number;
  /** As in `Usage`. */
  readonly daysBefore: number;
}

/** A place in the chain that somebody noted elsewhere. */
export interface ChainPoint {
  readonly seq: number;
  /** Hex; or its first characters, at least 16. */
  readonly hash: string;
}

export interface Verification {
  readonly ok: boolean;
  /** Lines whose hashes were computed again. */
  readonly lines: number;
  readonly first: number | undefined;
  readonly last: ChainPoint | undefined;
  /** Lines before it were compacted: of them their number, the end of their chain and their sums are known. */
  readonly anchor: (ChainPoint & { readonly daysBefore: number }) | undefined;
  /** The first hundred; sentences without any value of an entry. */
  readonly problems: readonly string[];
  readonly problemCount: number;
}

export interface Ledger {
  /**
   * Writes an entry with all others of the same turn of the event loop, in one transaction. Settles when it is committed:
   * from then on the end of the process takes nothing away. Rejects with LedgerError where it could not be written; the entry
   * is kept and tried again with the next ones. Throws RangeError for an entry that cannot be one (a bug).
   */
  append(entry: LedgerEntry): Promise<Appended>;
  /** Writes what waits, now. Rejects where some of it could not be written. */
  flush(): Promise<void>;
  /** Totals, and groups that add up to them, in integers; everything that was acknowledged is in them. */
  usage(query: UsageQuery): Promise<Usage>;
  /** The lines of a request, by its x-request-id, oldest first, corrections included; at most 1,000. */
  entriesOf(request: string): Promise<readonly Recorded[]>;
  /** Lines with `at` in [from, to), by time and number. Read in pages: lines that come meanwhile may be among them. */
  export(from: number, to: number): AsyncIterable<Recorded>;
  /** Computes the whole chain and the sums again. */
  verify(expect?: readonly ChainPoint[]): Promise<Verification>;
  /**
   * Prices the entries in [from, to) again and writes correction lines where the cost differs. The same book twice writes
   * nothing the second time. Rejects with LedgerError where lines of that time were compacted.
   */
  reprice(from: number, to: number, pricer: Pricer): Promise<Repriced>;
  /** Removes lines from before the day (UTC) of `before`, oldest first, up to the first that is younger; keeps their sums. */
  compact(before: number): Promise<Compacted>;
  /** Writes what waits and forces it to disk. */
  close(): Promise<void>;
}

/** The ledger could not be read or written. The message has no value of any entry. */
export class LedgerError extends Error {
  override readonly name = "LedgerError";
}

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
const REQUEST_ID_MAX = 128;
const NAME_MAX = 256;

/** Throws RangeError, which names the field and no value, for what would make sums wrong. */
export function checkEntry(entry: LedgerEntry): void {
  const { energy, cost } = entry;
  const counts = {
    choice: entry.choice,
    attempt: entry.attempt,
    at: entry.at,
    promptTokens: entry.promptTokens,
    cachedTokens: entry.cachedTokens,
    completionTokens: entry.completionTokens,
    "energy.uj": energy.uj,
    "energy.lowUj": energy.lowUj,
    "energy.highUj": energy.highUj,
    "cost.price": cost.price,
    "cost.energy": cost.energy,
    "cost.hardware": cost.hardware,
  };
  for (const [field, value] of Object.entries(counts))
    if (!Number.isSafeInteger(value) || value < 0) refuse(field, "a whole number from 0 to 2^53 - 1");
  for (const field of ["queueMs", "prefillMs", "decodeMs"] as const)
    if (!(entry[field] >= 0 && entry[field] <= 1e12)) refuse(field, "a time of 0 ms or more");
  if (energy.lowUj > energy.uj || energy.uj > energy.highUj) refuse("energy", "within its own interval");
  checkText("request", entry.request, REQUEST_ID_MAX);
  for (const field of ["backend", "model", "priced"] as const) checkText(field, entry[field], NAME_MAX);
  for (const field of ["team", "key", "agent", "person"] as const)
    if (entry[field] !== undefined) checkText(field, entry[field], NAME_MAX);
}

function checkText(field: string, text: string, max: number): void {
  // A lone surrogate or a NUL would come back as another text, and break the chain that was computed over it.
  if (text.length < 1 || text.length > max || !text.isWellFormed() || text.includes("\0"))
    refuse(field, `a text of 1 to ${max} characters`);
}

function refuse(field: string, what: string): never {
  throw new RangeError(`the entry's ${field} must be ${what}`);
}
