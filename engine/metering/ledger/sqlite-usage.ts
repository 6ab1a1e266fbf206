/**
 * Totals over any stretch of time, exactly: whole days from the sums of days, whole hours at its ends from those of hours,
 * and what is left from the lines themselves.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import {
  DAY_MS,
  type Dimension,
  GROUPINGS,
  type Grouping,
  HOUR_MS,
  type Sums,
  type Usage,
  type UsageGroup,
  type UsageQuery,
} from "./ledger.ts";
import { COUNTED, ENTRIES, SUMMED } from "./schema.ts";

/** A stretch of time and where its sums are: `lines`, or the `sums` of a level. */
interface Part {
  readonly source: "lines" | 0 | 1 | 2;
  readonly from: number;
  readonly to: number;
}

const COLUMNS = ["requests", "lines", ...SUMMED] as const;
type Summing = Record<(typeof COLUMNS)[number], bigint>;
type SumRow = Readonly<Summing> & { readonly name: string | bigint | null };

/** Statements differ by grouping and filters only; more kinds than this are asked by nobody. */
const STATEMENTS_MAX = 200;

export class UsageReader {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #horizon: StatementSync;

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#horizon = db.prepare("SELECT max(horizon) AS horizon FROM anchors");
  }

  /** Before it only days are known; a whole day. */
  horizon(): number {
    return (this.#horizon.get() as { readonly horizon: number | null }).horizon ?? 0;
  }

  /** Reads in one transaction: a line that comes meanwhile is in all parts or in none. */
  usage(query: UsageQuery): Usage {
    this.#db.exec("BEGIN");
    try {
      const horizon = this.horizon();
      const found = new Map<SumRow["name"], Summing>();
      const total = newSum();
      for (const row of partsOf(query, horizon).flatMap((part) => this.#read(query, part))) {
        const group = found.get(row.name) ?? newSum();
        add(group, row);
        add(total, row);
        found.set(row.name, group);
      }
      const groups = query.groupBy === undefined ? [] : [...found].map(groupOf).sort(byName);
      return { total: sumsOf(total), groups, daysBefore: horizon };
    } finally {
      this.#db.exec("ROLLBACK");
    }
  }

  #read({ groupBy, where = {} }: UsageQuery, { source, from, to }: Part): readonly SumRow[] {
    const filters = Object.keys(where).sort() as Dimension[];
    const kind = `${source} ${groupBy} ${filters.join()}`;
    const statement = this.#statements.get(kind) ?? this.#prepare(kind, sqlOf(source, groupBy, filters));
    const unit = source === "lines" ? 1 : HOUR_MS;
    const values = filters.map((name): SQLInputValue => where[name] ?? null);
    return statement.all(from / unit, to / unit, ...values) as unknown as readonly SumRow[];
  }

  #prepare(kind: string, sql: string): StatementSync {
    if (this.#statements.size >= STATEMENTS_MAX) this.#statements.clear();
    const statement = this.#db.prepare(sql);
    // Energy and money may be beyond 2^53.
    statement.setReadBigInts(true);
    this.#statements.set(kind, statement);
    return statement;
  }
}

function sqlOf(source: Part["source"], groupBy: Grouping | undefined, filters: readonly Dimension[]): string {
  // Nothing of a question becomes SQL but names of this list.
  for (const name of filters) if (!GROUPINGS.includes(name)) throw new RangeError(`${name} is no dimension`);
  const lines = source === "lines";
  const summed = [
    ...(lines
      ? [`sum(${COUNTED}) AS requests`, `sum(${ENTRIES}) AS lines`]
      : ["sum(requests) AS requests", "sum(lines) AS lines"]),
    ...SUMMED.map((column) => `sum(${column}) AS ${column}`),
  ].join(", ");
  const inTime = groupBy === "hour" || groupBy === "day";
  const hour = lines ? `at / ${HOUR_MS}` : "bucket";
  const name = nameOf(groupBy, hour);
  const place = lines ? "at >= ? AND at < ?" : `level = ${source} AND bucket >= ? AND bucket < ?`;
  const wheres = filters.map((filter) => `"${filter}" IS ?`).join(" AND ");
  const narrowed = wheres === "" ? "" : `AND shared IN (SELECT id FROM shared WHERE ${wheres})`;
  // Sums are first added up by what is shared: few rows are then joined with names.
  const inner = `SELECT shared, ${inTime ? name : "NULL"} AS time, ${summed}
    FROM ${lines ? "lines" : "sums"} WHERE ${place} ${narrowed} GROUP BY ${inTime ? "2" : "1"}`;
  const outer = ["requests", "lines", ...SUMMED]
    .map((column) => `sum(part.${column}) AS ${column}`)
    .join(", ");
  return `SELECT ${inTime ? "part.time" : name} AS name, ${outer}
    FROM (${inner}) AS part LEFT JOIN shared ON shared.id = part.shared GROUP BY 1`;
}

function nameOf(groupBy: Grouping | undefined, hour: string): string {
  if (groupBy === undefined) return "NULL";
  if (groupBy === "hour") return hour;
  return groupBy === "day" ? `${hour} / 24 * 24` : `shared."${groupBy}"`;
}

/** Parts that touch each other and cover [from, to), with the fewest rows to read. */
function partsOf({ from, to, groupBy, where = {} }: UsageQuery, horizon: number): readonly Part[] {
  const grouped = groupBy !== undefined && groupBy !== "hour" && groupBy !== "day";
  const hours = grouped || Object.keys(where).length > 0 ? 1 : 0;
  // Compacted days count where they begin.
  const old: Part = { source: 2, from: upTo(from, DAY_MS), to: upTo(Math.min(to, horizon), DAY_MS) };
  const [start, end] = [Math.max(from, horizon), Math.max(to, horizon)];
  const [hour, lastHour] = [Math.min(upTo(start, HOUR_MS), end), downTo(end, HOUR_MS)];
  const [day, lastDay] = [upTo(start, DAY_MS), downTo(end, DAY_MS)];
  // The hours of all together are few; so are those of less than two days.
  const inHours: readonly Part[] =
    hours === 0 || groupBy === "hour" || day >= lastDay
      ? [{ source: hours, from: hour, to: lastHour }]
      : [
          { source: hours, from: hour, to: day },
          { source: 2, from: day, to: lastDay },
          { source: hours, from: lastDay, to: lastHour },
        ];
  const within = hour <= lastHour;
  return [
    old,
    { source: "lines" as const, from: start, to: within ? hour : end },
    ...(within ? inHours : []),
    ...(within ? [{ source: "lines" as const, from: Math.max(lastHour, start), to: end }] : []),
  ].filter((part) => part.from < part.to);
}

const upTo = (time: number, unit: number): number => Math.ceil(time / unit) * unit;
const downTo = (time: number, unit: number): number => Math.floor(time / unit) * unit;

/** Adds `row` to `sum`, which is changed. */
function add(sum: Summing, row: SumRow): void {
  for (const column of COLUMNS) sum[column] += row[column];
}

const newSum = (): Summing => Object.fromEntries(COLUMNS.map((column) => [column, 0n])) as Summing;

const sumsOf = (sum: Readonly<Summing>): Sums => ({
  requests: Number(sum.requests),
  lines: Number(sum.lines),
  promptTokens: Number(sum.prompt_tokens),
  cachedTokens: Number(sum.cached_tokens),
  completionTokens: Number(sum.completion_tokens),
  energyUj: sum.energy_uj,
  energyLowUj: sum.energy_uj - sum.below_uj,
  energyHighUj: sum.energy_uj + sum.above_uj,
  cost: { price: sum.cost_price, energy: sum.cost_energy, hardware: sum.cost_hardware },
});

function groupOf([name, sum]: readonly [SumRow["name"], Summing]): UsageGroup {
  const group = typeof name === "bigint" ? new Date(Number(name) * HOUR_MS).toISOString() : name;
  return { group: group ?? undefined, ...sumsOf(sum) };
}

const byName = (a: UsageGroup, b: UsageGroup): number =>
  a.group === undefined
    ? b.group === undefined
      ? 0
      : 1
    : b.group === undefined || a.group < b.group
      ? -1
      : a.group > b.group
        ? 1
        : 0;
