/** What is done to old lines: their prices corrected by further lines, and they themselves removed once only sums matter. */
import { hash } from "node:crypto";
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import { setImmediate as nextTurn } from "node:timers/promises";
import { NO_ENERGY } from "../../core/energy.ts";
import { type CostParts, type LedgerEntry, microUsd } from "../../core/ledger.ts";
import {
  type Compacted,
  checkEntry,
  DAY_MS,
  HOUR_MS,
  LedgerError,
  type Pricer,
  type Repriced,
} from "./ledger.ts";
import { COUNTED, ENTRIES, SUMMED } from "./schema.ts";
import { type LineReader, type LineRow, recordedOf } from "./sqlite-rows.ts";
import type { LineWriter, NewLine } from "./sqlite-writer.ts";

/** Between two pages other work gets its turn. */
const PAGE = 500;

export interface UpkeepPorts {
  readonly db: DatabaseSync;
  readonly reader: LineReader;
  readonly writer: LineWriter;
  readonly horizon: () => number;
}

export async function reprice(
  ports: UpkeepPorts,
  from: number,
  to: number,
  pricer: Pricer,
): Promise<Repriced> {
  const { db, reader, writer, horizon } = ports;
  const corrected = db.prepare(
    "SELECT total(cost_price) AS price, total(cost_energy) AS energy, total(cost_hardware) AS hardware FROM lines WHERE corrects = ?",
  );
  let [entries, corrections, difference] = [0, 0, 0n];
  for (let after = { at: from, seq: 0 }; ; ) {
    if (from < horizon()) throw tooOld(horizon());
    const page = reader.byTime(from, to, after, PAGE);
    const last = page.at(-1);
    if (last === undefined) return { entries, corrections, difference };
    const originals = page.filter((row) => row.corrects === null);
    const written = writer.transact(() => {
      const lines = originals.flatMap((row) => {
        const standing = corrected.get(row.seq) as unknown as Record<keyof CostParts, number>;
        const line = correctionOf(row, standing, pricer);
        return line === undefined ? [] : [line];
      });
      writer.writeWithin(lines);
      return lines;
    });
    entries += originals.length;
    corrections += written.length;
    for (const { entry } of written)
      difference += BigInt(entry.cost.price) + BigInt(entry.cost.energy) + BigInt(entry.cost.hardware);
    after = { at: last.at, seq: last.seq };
    await nextTurn();
  }
}

/** undefined where the line costs what the book says, corrections before this one included. */
function correctionOf(
  row: LineRow,
  corrected: Readonly<Record<keyof CostParts, number>>,
  pricer: Pricer,
): NewLine | undefined {
  const { entry } = recordedOf(row);
  const priced = pricer(entry);
  if (priced === undefined) return undefined;
  checkEntry({ ...entry, ...priced });
  const part = (name: keyof CostParts) => microUsd(priced.cost[name] - entry.cost[name] - corrected[name]);
  const cost: CostParts = { price: part("price"), energy: part("energy"), hardware: part("hardware") };
  if (cost.price === 0 && cost.energy === 0 && cost.hardware === 0) return undefined;
  const used = {
    promptTokens: 0,
    cachedTokens: 0,
    completionTokens: 0,
    queueMs: 0,
    prefillMs: 0,
    decodeMs: 0,
  };
  const correction: LedgerEntry = {
    ...{ ...entry, ...used, cost, priced: priced.priced },
    energy: { ...NO_ENERGY, tier: entry.energy.tier },
  };
  return { entry: correction, corrects: row.seq };
}

const tooOld = (horizon: number): LedgerError =>
  new LedgerError(
    `Lines from before ${new Date(horizon).toISOString()} were compacted: only their sums are known, which cannot be ` +
      "priced again. Begin at that time or later.",
  );

export const TOTALS = ["requests", "lines", ...SUMMED] as const;
/** Decimal, by column: they may be beyond 2^53. */
export type Totals = Readonly<Record<(typeof TOTALS)[number], string>>;

export interface AnchorRow {
  readonly seq: number;
  readonly line_hash: Uint8Array;
  readonly horizon: number;
  readonly totals: string;
  readonly hash: Uint8Array;
}

/** Anchors are a chain too. */
export function anchorHash(
  before: Uint8Array,
  { seq, line_hash, horizon, totals }: Omit<AnchorRow, "hash">,
): Buffer {
  const content = JSON.stringify([seq, Buffer.from(line_hash).toString("hex"), horizon, totals]);
  return hash("sha256", Buffer.concat([before, Buffer.from(content)]), "buffer");
}

export async function compact(ports: UpkeepPorts, before: number): Promise<Compacted> {
  const horizon = Math.floor(before / DAY_MS) * DAY_MS;
  const prefix = horizon > ports.horizon() ? await readPrefix(ports.db, horizon) : undefined;
  if (prefix !== undefined) ports.writer.transact(() => addAnchor(ports.db, prefix, horizon));
  // Also what an interrupted compaction left: from the anchor on nobody reads it.
  await removeCovered(ports);
  return { lines: prefix?.lines ?? 0, daysBefore: ports.horizon() };
}

interface Prefix {
  readonly lines: number;
  readonly last: { readonly seq: number; readonly hash: Uint8Array };
  readonly totals: Totals;
}

/** Lines up to the first that is not before `horizon`; undefined where there are none. */
async function readPrefix(db: DatabaseSync, horizon: number): Promise<Prefix | undefined> {
  const columns = [`${COUNTED} AS requests`, `${ENTRIES} AS lines`, ...SUMMED].join(", ");
  const covered = db.prepare("SELECT max(seq) AS seq FROM anchors").get() as { readonly seq: number | null };
  const page = db.prepare(
    `SELECT seq, at, hash, ${columns} FROM lines WHERE seq > ? ORDER BY seq LIMIT ${PAGE}`,
  );
  const sums = new Map<string, bigint>(TOTALS.map((column) => [column, 0n]));
  let [seq, lines] = [covered.seq ?? 0, 0];
  let lineHash: Uint8Array | undefined;
  for (;;) {
    const rows = page.all(seq) as unknown as readonly (Record<(typeof TOTALS)[number], number> & {
      readonly seq: number;
      readonly at: number;
      readonly hash: Uint8Array;
    })[];
    const young = rows.findIndex(({ at }) => at >= horizon);
    for (const row of young < 0 ? rows : rows.slice(0, young)) {
      for (const column of TOTALS) sums.set(column, (sums.get(column) ?? 0n) + BigInt(row[column]));
      seq = row.seq;
      lineHash = row.hash;
      lines += 1;
    }
    if (young >= 0 || rows.length < PAGE) break;
    await nextTurn();
  }
  if (lineHash === undefined) return undefined;
  const totals = Object.fromEntries([...sums].map(([name, value]) => [name, String(value)])) as Totals;
  return { lines, last: { seq, hash: lineHash }, totals };
}

function addAnchor(db: DatabaseSync, { last, totals }: Prefix, horizon: number): void {
  const before = db.prepare("SELECT hash FROM anchors ORDER BY seq DESC LIMIT 1").get();
  const anchor = { seq: last.seq, line_hash: last.hash, horizon, totals: JSON.stringify(totals) };
  const chainedHash = anchorHash((before?.["hash"] as Uint8Array | undefined) ?? new Uint8Array(0), anchor);
  db.prepare("INSERT INTO anchors (seq, line_hash, horizon, totals, hash) VALUES (?, ?, ?, ?, ?)").run(
    ...[anchor.seq, anchor.line_hash, anchor.horizon, anchor.totals, chainedHash],
  );
}

/** Lines that an anchor covers, persons that no line names any more, and the hours of compacted days; a page at a time. */
async function removeCovered({ db, writer, horizon }: UpkeepPorts): Promise<void> {
  const lines = "SELECT seq FROM lines WHERE seq <= (SELECT max(seq) FROM anchors) ORDER BY seq LIMIT";
  const persons =
    "SELECT id FROM persons WHERE id > ? AND NOT EXISTS (SELECT 1 FROM lines WHERE person = persons.id) ORDER BY id LIMIT";
  const hours = "level = ? AND bucket >= (SELECT min(bucket) FROM sums WHERE level = ?1)";
  const day = `min((SELECT min(bucket) FROM sums WHERE level = ?1) + 24, ?)`;
  const steps: readonly (readonly [string, readonly SQLInputValue[]])[] = [
    [`DELETE FROM lines WHERE seq IN (${lines} ${PAGE})`, []],
    [`DELETE FROM persons WHERE id IN (${persons} ${PAGE})`, [0]],
    ...[0, 1].map(
      (level) =>
        [`DELETE FROM sums WHERE ${hours} AND bucket < ${day}`, [level, horizon() / HOUR_MS]] as const,
    ),
  ];
  for (const [sql, values] of steps) {
    const statement: StatementSync = db.prepare(sql);
    for (let removed = 1; removed > 0; ) {
      removed = Number(
        writer.transact(() => {
          const { changes } = statement.run(...values);
          writer.forget();
          return changes;
        }),
      );
      await nextTurn();
    }
  }
  // Pages that became free go back to the system.
  db.exec("PRAGMA incremental_vacuum");
}
