/**
 * The ledger in one SQLite file.
 *
 * What is acknowledged is committed to the write-ahead log, which the system holds: the end of the process, however it comes,
 * takes nothing of it. The log is forced to disk, away from the main thread, within `syncEveryMs`: a power cut takes at most
 * what was committed in that span, and leaves a whole file. Forcing each answer to disk would stop every stream of the
 * process for as long as the disk takes; SQLite here runs on the main thread.
 *
 * Lines of one turn of the event loop share a transaction, which costs each of them less than one of its own, and the wait
 * is shorter than the writing of an answer's last bytes. Where a caller cannot wait, `appendNow` writes at once.
 */
import { closeSync, existsSync, fdatasync, openSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { promisify } from "node:util";
import { Flushes } from "../../core/flushes.ts";
import type { LedgerEntry } from "../../core/ledger.ts";
import { packedId } from "./chain.ts";
import {
  type Appended,
  type ChainPoint,
  type Compacted,
  checkEntry,
  type Ledger,
  LedgerError,
  type Pricer,
  type Recorded,
  type Repriced,
  type Usage,
  type UsageQuery,
  type Verification,
} from "./ledger.ts";
import { SCHEMA, SCHEMA_VERSION } from "./schema.ts";
import { LineReader, recordedOf } from "./sqlite-rows.ts";
import { compact, reprice } from "./sqlite-upkeep.ts";
import { UsageReader } from "./sqlite-usage.ts";
import { verify } from "./sqlite-verify.ts";
import { LineWriter } from "./sqlite-writer.ts";

export interface SqliteLedgerOptions {
  /** Made if it is not there, for the owner alone; its folder must be. */
  readonly file: string;
  /** A power cut takes at most what was committed in so many milliseconds, and the time that the disk then needs. */
  readonly syncEveryMs: number;
  /** How long a write may wait for another process that writes (`weir ledger reprice`), in ms; meanwhile nothing else runs. */
  readonly busyMs?: number;
}

interface Waiting {
  readonly entry: LedgerEntry;
  readonly settle: { resolve(result: Appended): void; reject(error: LedgerError): void } | undefined;
}

/** A transaction holds up the event loop: this many lines take a few milliseconds. */
const BATCH = 200;
/** Entries that could not be written and are tried again; beyond them appending is refused at once. */
const UNWRITTEN_MAX = 10_000;
const LINES_OF_REQUEST_MAX = 1000;
const EXPORT_PAGE = 500;

const synced = promisify(fdatasync);

/** In WEIR_HOME. */
export const LEDGER_NAME = "ledger.sqlite";

export class SqliteLedger implements Ledger {
  readonly #options: SqliteLedgerOptions;
  readonly #db: DatabaseSync;
  readonly #writer: LineWriter;
  readonly #reader: LineReader;
  readonly #usage: UsageReader;
  /** The write-ahead log. SQLite holds no lock on it that closing it would drop. */
  readonly #log: number;
  /** Once the disk did not take what was committed, nothing more is: appending is refused until the next start. */
  readonly #flushes: Flushes;
  #waiting: Waiting[] = [];
  #turn: NodeJS.Immediate | undefined;
  #syncTimer: NodeJS.Timeout | undefined;
  #closed = false;

  /** Throws LedgerError where the file is no ledger, or one of another version. */
  constructor(options: SqliteLedgerOptions) {
    this.#options = options;
    this.#db = openFile(options);
    this.#writer = new LineWriter(this.#db);
    this.#reader = new LineReader(this.#db);
    this.#usage = new UsageReader(this.#db);
    this.#log = openSync(`${options.file}-wal`, "r+");
    this.#flushes = new Flushes(() => synced(this.#log));
  }

  append(entry: LedgerEntry): Promise<Appended> {
    checkEntry(entry);
    if (this.#closed || this.#waiting.length >= UNWRITTEN_MAX)
      return Promise.reject(new LedgerError(this.#closed ? CLOSED : fullOf(this.#waiting.length)));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ entry, settle: { resolve, reject } });
      this.#turn ??= setImmediate(() => this.#writeWaiting());
    });
  }

  /** Writes these at once, in one transaction. Throws LedgerError where that failed; then none of them is there. */
  appendNow(entries: readonly LedgerEntry[]): readonly Appended[] {
    entries.forEach(checkEntry);
    if (this.#closed) throw new LedgerError(CLOSED);
    try {
      this.#flushes.check();
      const results = this.#writer.write(entries.map((entry) => ({ entry, corrects: undefined })));
      this.#syncSoon();
      return results;
    } catch (error) {
      throw unwritten(error);
    }
  }

  /** Entries that wait to be written: for a moment, or because writing failed. */
  get waiting(): number {
    return this.#waiting.length;
  }

  async flush(): Promise<void> {
    const error = this.#writeWaiting();
    if (error !== undefined) throw error;
  }

  #writeWaiting(): LedgerError | undefined {
    clearImmediate(this.#turn);
    this.#turn = undefined;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.slice(0, BATCH);
      try {
        const results = this.appendNow(batch.map(({ entry }) => entry));
        // Only what is committed leaves the queue.
        this.#waiting.splice(0, batch.length);
        for (const [index, { settle }] of batch.entries()) settle?.resolve(results[index] as Appended);
      } catch (error) {
        const failure = error as LedgerError;
        const all = this.#waiting;
        this.#waiting = all.map(({ entry }) => ({ entry, settle: undefined }));
        for (const { settle } of all) settle?.reject(failure);
        return failure;
      }
    }
    return undefined;
  }

  usage = async (query: UsageQuery): Promise<Usage> => this.#usage.usage(query);

  async entriesOf(request: string): Promise<readonly Recorded[]> {
    return this.#reader.ofRequest(packedId(request), LINES_OF_REQUEST_MAX).map(recordedOf);
  }

  async *export(from: number, to: number): AsyncIterable<Recorded> {
    for (let after = { at: from, seq: 0 }; ; ) {
      const page = this.#reader.byTime(from, to, after, EXPORT_PAGE);
      yield* page.map(recordedOf);
      const last = page.at(-1);
      if (last === undefined) return;
      after = { at: last.at, seq: last.seq };
    }
  }

  async verify(expect: readonly ChainPoint[] = []): Promise<Verification> {
    const db = new DatabaseSync(this.#options.file, {
      readOnly: true,
      timeout: this.#options.busyMs ?? BUSY_MS,
    });
    try {
      return await verify(db, expect);
    } finally {
      db.close();
    }
  }

  async reprice(from: number, to: number, pricer: Pricer): Promise<Repriced> {
    const result = await reprice(this.#upkeep(), from, to, pricer);
    this.#syncSoon();
    return result;
  }

  async compact(before: number): Promise<Compacted> {
    const result = await compact(this.#upkeep(), before);
    this.#syncSoon();
    return result;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    const failure = this.#writeWaiting();
    this.#closed = true;
    clearTimeout(this.#syncTimer);
    await this.#flushes.run();
    // The last connection moves the log into the file, forces that to disk, and removes the log.
    this.#db.close();
    closeSync(this.#log);
    if (failure !== undefined) throw failure;
  }

  #upkeep() {
    const horizon = () => this.#usage.horizon();
    return { db: this.#db, reader: this.#reader, writer: this.#writer, horizon };
  }

  #syncSoon(): void {
    this.#flushes.written();
    if (this.#syncTimer !== undefined) return;
    this.#syncTimer = setTimeout(() => {
      this.#syncTimer = undefined;
      void this.#flushes.run();
    }, this.#options.syncEveryMs).unref();
  }
}

const BUSY_MS = 2000;
const CLOSED = "the ledger is closed";
const fullOf = (entries: number): string =>
  `the ledger cannot be written, and ${entries} entries wait for it; see that its disk has room and is there`;

const unwritten = (cause: unknown): LedgerError =>
  cause instanceof LedgerError
    ? cause
    : new LedgerError(`the ledger could not be written: ${messageOf(cause)}`, { cause });

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function openFile({ file, busyMs = BUSY_MS }: SqliteLedgerOptions): DatabaseSync {
  // SQLite would make it readable for all; the log takes the file's mode. One that is there stays untouched: closing it here
  // would drop the locks that another connection of this process holds on it.
  if (!existsSync(file)) closeSync(openSync(file, "a", 0o600));
  const db = new DatabaseSync(file, { timeout: busyMs });
  try {
    db.exec(
      "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; " +
        "PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -32768; PRAGMA recursive_triggers = ON; BEGIN IMMEDIATE",
    );
    const { user_version: version } = db.prepare("PRAGMA user_version").get() as {
      readonly user_version: number;
    };
    if (version === 0) db.exec(`${SCHEMA}; PRAGMA user_version = ${SCHEMA_VERSION}`);
    db.exec("COMMIT");
    if (version !== 0 && version !== SCHEMA_VERSION)
      throw new LedgerError(
        `${file} is a ledger of version ${version}; this weir knows version ${SCHEMA_VERSION}`,
      );
    return db;
  } catch (cause) {
    db.close();
    throw cause instanceof LedgerError
      ? cause
      : new LedgerError(`${file} cannot be opened as a ledger: ${messageOf(cause)}`, { cause });
  }
}
