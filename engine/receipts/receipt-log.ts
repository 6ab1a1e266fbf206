/**
 * The append-only files of receipts: `receipts.jsonl` is written, `receipts-SEQ.jsonl` are full ones, `receipts.head` says
 * where the chain ends. One process writes.
 *
 * A record is handed to the system before the decision takes effect, and forced to disk by `sync`, on a timer: a crash of the
 * process loses nothing, a power cut at most that span. Whatever cannot be written throws, and the caller refuses the request:
 * nothing is served without its receipt. What was begun and failed (half a line, the head, the change to another file) is
 * ended before anything else is written, so that a disk that has room again is written again.
 */
import { createPublicKey, type KeyObject } from "node:crypto";
import { closeSync, existsSync, fsync, ftruncateSync, openSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { DecisionRecord } from "../core/decision-record.ts";
import { Flushes } from "../core/flushes.ts";
import {
  CHECK,
  type ChainEnd,
  closedName,
  endOf,
  endOfClosed,
  HEAD_NAME,
  headText,
  LOG_NAME,
  openKey,
  ReceiptLogError,
  readHead,
} from "./chain-files.ts";
import { type Receipt, type ReceiptBody, sealed } from "./record.ts";

export interface ReceiptLogOptions {
  /** Made if it is not there, for the owner alone. */
  readonly folder: string;
  /** A file that is larger is closed and another begun. */
  readonly fileBytesMax: number;
  /** ISO 8601 time of now. */
  readonly now: () => string;
}

export class ReceiptLog {
  readonly #options: ReceiptLogOptions;
  readonly #key: KeyObject;
  readonly #flushes = new Flushes(() => this.#flush());
  /** Always open, and always the file that the chain goes on in: a number of a closed one may be another file's. */
  #file: number;
  readonly #head: number;
  /** Of whole lines. */
  #bytes: number;
  #last: ChainEnd;
  /** Half a line may stand behind the whole ones. */
  #torn: boolean;
  #headIsBehind: boolean;
  /** The file's last record says that it is full: it is still to be renamed, or another one to be begun. */
  #rotation: { readonly seq: number; renamed: boolean } | undefined;
  /** Full files, until they are on disk. */
  readonly #full: number[] = [];
  #closed: Promise<void> | undefined;

  /** Throws ReceiptLogError where records, head or key do not fit together, or one of them is gone. */
  constructor(options: ReceiptLogOptions) {
    const { folder } = options;
    this.#options = options;
    this.#key = openKey(folder);
    const publicKey = createPublicKey(this.#key);
    const head = readHead(folder, publicKey);
    if (head === undefined) {
      throw new ReceiptLogError(
        `${HEAD_NAME} is gone, so records cut off at the end could not be missed. Put it back, or move the folder's ` +
          `files aside to begin a new chain. ${CHECK}`,
      );
    }
    this.#file = openSync(join(folder, LOG_NAME), "a+", 0o600);
    try {
      const { last, bytes } = endOf(this.#file, LOG_NAME, publicKey);
      checkEnd(last, head, () => endOfClosed(folder, head.seq, publicKey));
      this.#last = last ?? head;
      this.#bytes = bytes;
      // A line that a power cut left half written was never acted on.
      this.#torn = true;
      this.#headIsBehind = this.#last.seq !== head.seq;
      if (last?.kind === "rotated") this.#rotation = { seq: last.seq, renamed: false };
      this.#head = openSync(join(folder, HEAD_NAME), "r+");
    } catch (error) {
      closeSync(this.#file);
      throw error;
    }
  }

  /** Throws where it could not be written, and from then on where anything could not be forced to disk. */
  append(decision: DecisionRecord): Receipt {
    this.#flushes.check();
    if (this.#closed !== undefined)
      throw new ReceiptLogError("receipts are no longer written: weir is stopping.");
    this.#endWhatWasBegun();
    if (this.#bytes >= this.#options.fileBytesMax) {
      this.#write({ kind: "rotated" });
      this.#endWhatWasBegun();
    }
    return this.#write({ kind: "decision", decision });
  }

  /** Forces to disk what was appended. Never rejects: where it fails, each further append says so. */
  sync(): Promise<void> {
    return this.#flushes.run();
  }

  /** Forces everything to disk. */
  close(): Promise<void> {
    this.#closed ??= this.#flushes.run().then(() => {
      for (const file of [...this.#full, this.#file, this.#head]) closeSync(file);
    });
    return this.#closed;
  }

  #write(content: { kind: "decision"; decision: DecisionRecord } | { kind: "rotated" }): Receipt {
    const place = { v: 1, seq: this.#last.seq + 1, at: this.#options.now(), prev: this.#last.hash } as const;
    const record = sealed({ ...place, ...content } as ReceiptBody, this.#key);
    const line = Buffer.from(`${JSON.stringify(record)}\n`);
    this.#torn = true;
    writeWhole(this.#file, line, undefined);
    this.#torn = false;
    this.#bytes += line.length;
    this.#last = record;
    if (record.kind === "rotated") this.#rotation = { seq: record.seq, renamed: false };
    this.#flushes.written();
    this.#headIsBehind = true;
    this.#writeHead();
    return record;
  }

  /** Throws where it cannot be ended now either; then nothing has changed, or is left to be tried again. */
  #endWhatWasBegun(): void {
    if (this.#torn) ftruncateSync(this.#file, this.#bytes);
    this.#torn = false;
    // The head must never be two records behind: the next start could not tell that from records put in.
    if (this.#headIsBehind) this.#writeHead();
    if (this.#rotation !== undefined) this.#rotate(this.#rotation);
  }

  #writeHead(): void {
    // Always as long, so that it is replaced in place.
    writeWhole(this.#head, Buffer.from(headText(this.#last)), 0);
    this.#headIsBehind = false;
    this.#flushes.written();
  }

  #rotate(rotation: { readonly seq: number; renamed: boolean }): void {
    const { folder } = this.#options;
    const live = join(folder, LOG_NAME);
    const full = join(folder, closedName(rotation.seq));
    try {
      if (!rotation.renamed) {
        if (existsSync(full)) throw new Error(`${full} is there already`);
        renameSync(live, full);
        rotation.renamed = true;
      }
      const next = openSync(live, "ax+", 0o600);
      this.#full.push(this.#file);
      this.#file = next;
      this.#bytes = 0;
      this.#rotation = undefined;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new ReceiptLogError(
        `the file of receipts is full and another could not be begun (${why}). Requests are refused until it can: ` +
          "each one tries again.",
        { cause: error },
      );
    }
  }

  async #flush(): Promise<void> {
    try {
      // The records before the head that names them.
      while (this.#full[0] !== undefined) {
        await forced(this.#full[0]);
        closeSync(this.#full.shift() as number);
      }
      await forced(this.#file);
      await forced(this.#head);
    } catch (error) {
      throw new ReceiptLogError(
        `receipts could not be forced to disk (${(error as Error).message}), so the last ones may be lost. Requests are ` +
          "refused until weir is started again: look after the disk, then start it.",
        { cause: error },
      );
    }
  }
}

/** `closed`: the last record of the file that was closed with the head's record. */
function checkEnd(last: Receipt | undefined, head: ChainEnd, closed: () => Receipt | undefined): void {
  if (last === undefined) {
    // The very beginning, or right after a rotation.
    if (head.seq === 0 || closed()?.hash === head.hash) return;
    throw new ReceiptLogError(
      `${LOG_NAME} is gone or empty, but ${HEAD_NAME} says that the chain ends with record ${head.seq}, and there is no ` +
        `${closedName(head.seq)} that ends with it: records were removed while weir did not run. ${REMOVED}`,
    );
  }
  // The record is written before the head, so it may be one ahead.
  const follows = last.seq === head.seq + 1 && last.prev === head.hash;
  if (follows || (last.seq === head.seq && last.hash === head.hash)) return;
  throw new ReceiptLogError(
    `${LOG_NAME} ends with record ${last.seq}, but ${HEAD_NAME} says ${head.seq}: records were removed or replaced while ` +
      `weir did not run. ${REMOVED}`,
  );
}

const REMOVED = `${CHECK} Put back what is missing, or move the folder's files aside to begin a new chain.`;

const forced = (file: number): Promise<void> =>
  new Promise((resolve, reject) => fsync(file, (error) => (error === null ? resolve() : reject(error))));

function writeWhole(file: number, bytes: Buffer, position: number | undefined): void {
  let written = 0;
  while (written < bytes.length) {
    const at = position === undefined ? undefined : position + written;
    written += writeSync(file, bytes, written, bytes.length - written, at);
  }
}
