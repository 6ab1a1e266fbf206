/** Puts lines into the tables: dictionaries, the chain, the sums, in one transaction. Several processes may write in turns. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { LedgerEntry } from "../../core/ledger.ts";
import { chained, digestOf, FIRST_HASH, packedId, wholeUs } from "./chain.ts";
import { type Appended, DAY_MS, HOUR_MS, LedgerError } from "./ledger.ts";
import { SUMMED } from "./schema.ts";
import { COUNTED_BIT, ESTIMATED_BIT, LINE_KINDS, OUTCOMES } from "./sqlite-rows.ts";

export interface NewLine {
  readonly entry: LedgerEntry;
  readonly corrects: number | undefined;
}

interface Head {
  readonly seq: number;
  readonly hash: Uint8Array;
}

/** Names that are remembered for their numbers: beyond so many they are looked up again. */
const REMEMBERED_MAX = 20_000;
const COLUMNS = ["requests", "lines", ...SUMMED];
const KINDS = new Map(LINE_KINDS.map((kind, index) => [kind, index]));
const OUTCOME_BITS = new Map(OUTCOMES.map((outcome, index) => [outcome, index]));

export class LineWriter {
  readonly #db: DatabaseSync;
  readonly #statements: ReturnType<typeof prepare>;
  readonly #dictionaries: readonly Map<string, number>[];
  readonly #shared = new Map<string, number>();
  readonly #priced = new Map<string, number>();
  readonly #persons = new Map<string, number>();
  /** Of the file, as this connection last saw it: it changes when another connection has written. */
  #version = -1;
  #head: Head = { seq: 0, hash: FIRST_HASH };

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#statements = prepare(db);
    this.#dictionaries = [this.#shared, this.#priced, this.#persons];
  }

  /** Runs `work` in a transaction of its own; it has the file for itself meanwhile. */
  transact<Result>(work: () => Result): Result {
    const { begin, commit, dataVersion } = this.#statements;
    begin.run();
    try {
      const { data_version: version } = dataVersion.get() as { readonly data_version: number };
      if (version !== this.#version) this.#readHead();
      this.#version = version;
      const result = work();
      commit.run();
      return result;
    } catch (error) {
      // What was remembered may be of the transaction that never was.
      this.#version = -1;
      if (this.#db.isTransaction) this.#statements.rollback.run();
      throw error;
    }
  }

  /** To be called where rows that lines name may have been removed: their numbers are looked up anew. */
  forget(): void {
    for (const map of this.#dictionaries) map.clear();
  }

  /** All of them or none, in one transaction. */
  write = (lines: readonly NewLine[]): readonly Appended[] => this.transact(() => this.writeWithin(lines));

  /** Within a transaction of `transact`. */
  writeWithin(lines: readonly NewLine[]): readonly Appended[] {
    const sums = new Map<string, number[]>();
    const results = lines.map((line) => this.#writeOne(line, sums));
    this.#addSums([...sums]);
    return results;
  }

  /** A line alone makes three sums, which go in one statement; of many lines together they are fewer. */
  #addSums(sums: readonly (readonly [string, readonly number[]])[]): void {
    const valuesOf = ([place, values]: readonly [string, readonly number[]]): readonly number[] => [
      ...place.split(" ", 3).map(Number),
      ...values,
    ];
    const threes = sums.length - (sums.length % 3);
    for (let at = 0; at < threes; at += 3)
      this.#statements.addThreeSums.run(...sums.slice(at, at + 3).flatMap(valuesOf));
    for (const sum of sums.slice(threes)) this.#statements.addSums.run(...valuesOf(sum));
  }

  #writeOne({ entry, corrects }: NewLine, sums: Map<string, number[]>): Appended {
    const seq = this.#head.seq + 1;
    const digest = digestOf(entry, corrects === undefined ? undefined : { corrects, seq });
    const request = packedId(entry.request);
    const { known, counted } = this.#placeOf(entry, request, digest, corrects);
    if (known === "duplicate") return known;
    const lineHash = chained(this.#head.hash, digest, { seq, counted });
    const shared = this.#sharedId(entry);
    const { energy, cost } = entry;
    const summed = [
      ...[entry.promptTokens, entry.cachedTokens, entry.completionTokens],
      ...[energy.uj, energy.uj - energy.lowUj, energy.highUj - energy.uj],
      ...[cost.price, cost.energy, cost.hardware],
    ];
    this.#statements.insert.run(
      ...[seq, request, entry.choice, entry.attempt, KINDS.get(entry.line) ?? -1, entry.at, shared],
      this.#idOf("priced", entry.priced),
      entry.person === undefined ? null : this.#idOf("persons", entry.person),
      flagsOf(entry, counted),
      ...summed,
      ...[wholeUs(entry.queueMs), wholeUs(entry.prefillMs), wholeUs(entry.decodeMs)],
      ...[corrects ?? null, digest.subarray(0, 8), lineHash],
    );
    this.#head = { seq, hash: lineHash };
    const values = [counted ? 1 : 0, corrects === undefined ? 1 : 0, ...summed];
    const hour = Math.floor(entry.at / HOUR_MS);
    const day = Math.floor(entry.at / DAY_MS) * 24;
    for (const bucket of [`0 ${hour} 0`, `1 ${hour} ${shared}`, `2 ${day} ${shared}`]) {
      addTo(sums, bucket, values);
    }
    return known;
  }

  /** Whether it is there already, and whether it is the first line of its request. */
  #placeOf(
    { choice, attempt, line }: LedgerEntry,
    request: string | Uint8Array,
    digest: Buffer,
    corrects: number | undefined,
  ): { readonly known: Appended; readonly counted: boolean } {
    const { anyOf, same, first } = this.#statements;
    const work = line === "work" && corrects === undefined;
    if (anyOf.get(request) === undefined) return { known: "appended", counted: work };
    const identity = [request, choice, attempt, KINDS.get(line) ?? -1] as const;
    if (same.get(...identity, digest.subarray(0, 8)) !== undefined)
      return { known: "duplicate", counted: false };
    if (corrects !== undefined) return { known: "appended", counted: false };
    const other = first.get(...identity) as { readonly flags: number } | undefined;
    if (other === undefined) return { known: "appended", counted: false };
    return { known: "reused", counted: (other.flags & COUNTED_BIT) !== 0 };
  }

  #sharedId(entry: LedgerEntry): number {
    const { line, zone, backend, model, team, key, agent, energy } = entry;
    const values = [line, zone, backend, model, entry.class, team ?? null, key ?? null, agent ?? null];
    const identity = JSON.stringify([...values, energy.tier]);
    const known = this.#shared.get(identity);
    if (known !== undefined) return known;
    this.#statements.addShared.run(identity, ...values, energy.tier);
    return this.#remember(this.#shared, identity, this.#statements.sharedId);
  }

  #idOf(dictionary: "priced" | "persons", identity: string): number {
    const map = dictionary === "priced" ? this.#priced : this.#persons;
    const known = map.get(identity);
    if (known !== undefined) return known;
    const { addPriced, pricedId, addPerson, personId } = this.#statements;
    (dictionary === "priced" ? addPriced : addPerson).run(identity);
    return this.#remember(map, identity, dictionary === "priced" ? pricedId : personId);
  }

  #remember(map: Map<string, number>, identity: string, find: StatementSync): number {
    const { id } = find.get(identity) as { readonly id: number };
    if (map.size >= REMEMBERED_MAX) map.clear();
    map.set(identity, id);
    return id;
  }

  #readHead(): void {
    this.forget();
    const { last, anchor } = this.#statements;
    const row = (last.get() ?? anchor.get()) as Head | undefined;
    this.#head = row ?? { seq: 0, hash: FIRST_HASH };
  }
}

/** Sums of a batch stay whole numbers: where one would leave them, it goes to the file in two parts, which adds in 64 bits. */
function addTo(sums: Map<string, number[]>, bucket: string, values: readonly number[]): void {
  const before = sums.get(bucket);
  const together = values.map((value, index) => value + (before?.[index] ?? 0));
  const whole = together.every(Number.isSafeInteger);
  if (!whole && before !== undefined) sums.set(`${bucket} ${sums.size}`, before);
  sums.set(bucket, whole ? together : [...values]);
}

function flagsOf({ outcome, estimated }: LedgerEntry, counted: boolean): number {
  const bits = OUTCOME_BITS.get(outcome);
  if (bits === undefined) throw new LedgerError("an entry's outcome is none that the ledger knows");
  return bits + (estimated ? ESTIMATED_BIT : 0) + (counted ? COUNTED_BIT : 0);
}

function prepare(db: DatabaseSync) {
  const marks = (count: number): string => Array.from({ length: count }, () => "?").join(", ");
  const add = COLUMNS.map((column) => `${column} = ${column} + excluded.${column}`).join(", ");
  const addSums = (rows: number): string =>
    `INSERT INTO sums (level, bucket, shared, ${COLUMNS.join(", ")}) ` +
    `VALUES ${Array.from({ length: rows }, () => `(${marks(3 + COLUMNS.length)})`).join(", ")} ` +
    `ON CONFLICT DO UPDATE SET ${add}`;
  const identity = "request = ? AND choice = ? AND attempt = ? AND kind = ?";
  return {
    begin: db.prepare("BEGIN IMMEDIATE"),
    commit: db.prepare("COMMIT"),
    rollback: db.prepare("ROLLBACK"),
    dataVersion: db.prepare("PRAGMA data_version"),
    last: db.prepare("SELECT seq, hash FROM lines ORDER BY seq DESC LIMIT 1"),
    anchor: db.prepare("SELECT seq, line_hash AS hash FROM anchors ORDER BY seq DESC LIMIT 1"),
    anyOf: db.prepare("SELECT 1 FROM lines WHERE request = ? LIMIT 1"),
    same: db.prepare(`SELECT 1 FROM lines WHERE ${identity} AND digest = ?`),
    first: db.prepare(`SELECT flags FROM lines WHERE ${identity} AND corrects IS NULL LIMIT 1`),
    insert: db.prepare(
      `INSERT INTO lines (seq, request, choice, attempt, kind, at, shared, priced, person, flags, ${SUMMED.join(", ")}, ` +
        `queue_us, prefill_us, decode_us, corrects, digest, hash) VALUES (${marks(25)})`,
    ),
    addSums: db.prepare(addSums(1)),
    addThreeSums: db.prepare(addSums(3)),
    addShared: db.prepare(
      `INSERT OR IGNORE INTO shared (identity, line, zone, backend, model, class, team, "key", agent, tier) VALUES (${marks(10)})`,
    ),
    sharedId: db.prepare("SELECT id FROM shared WHERE identity = ?"),
    addPriced: db.prepare("INSERT OR IGNORE INTO priced (identity) VALUES (?)"),
    pricedId: db.prepare("SELECT id FROM priced WHERE identity = ?"),
    addPerson: db.prepare("INSERT OR IGNORE INTO persons (identity) VALUES (?)"),
    personId: db.prepare("SELECT id FROM persons WHERE identity = ?"),
  };
}
