/**
 * The append-only files of receipts: `receipts.jsonl` is written, `receipts-SEQ.jsonl` are full ones, `receipts.head` says
 * where the chain ends, `receipts.pub.pem` is the key to check with. One process writes.
 *
 * A record is handed to the system before the decision takes effect, and forced to disk within `syncEveryMs`: a crash of
 * the process loses nothing, a power cut at most that span. Whatever cannot be written throws, and the caller refuses the
 * request: nothing is served without its receipt.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, verify } from "node:crypto";
import {
  chmodSync,
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { type Decision, FIRST_PREV, type Receipt, type ReceiptBody, sealed } from "./record.ts";

export const LOG_NAME = "receipts.jsonl";
export const HEAD_NAME = "receipts.head";
export const PUBLIC_KEY_NAME = "receipts.pub.pem";
const PRIVATE_KEY_NAME = "receipts.key.pem";

export interface ReceiptLogOptions {
  /** Made if it is not there, for the owner alone. */
  readonly folder: string;
  /** A file that is larger is closed and another begun. */
  readonly fileBytesMax: number;
  /** ISO 8601 time of now. */
  readonly now: () => string;
}

/** The folder's files do not fit together: weir must not go on writing as if nothing were. */
export class ReceiptLogError extends Error {
  override readonly name = "ReceiptLogError";
}

export class ReceiptLog {
  readonly #options: ReceiptLogOptions;
  readonly #key: KeyObject;
  #file: number;
  #bytes: number;
  readonly #head: number;
  #last: Pick<Receipt, "seq" | "hash">;
  #unsynced = false;

  /** Throws ReceiptLogError where the last record is damaged, or is not the one that the head names. */
  constructor(options: ReceiptLogOptions) {
    this.#options = options;
    mkdirSync(options.folder, { recursive: true, mode: 0o700 });
    this.#key = openKey(options.folder);
    this.#file = openSync(join(options.folder, LOG_NAME), "a+", 0o600);
    const head = readHead(options.folder, createPublicKey(this.#key));
    this.#last = this.#recover(head);
    this.#bytes = fstatSync(this.#file).size;
    const path = join(options.folder, HEAD_NAME);
    this.#head = openSync(path, existsSync(path) ? "r+" : "w+", 0o600);
  }

  /** Throws where it could not be written. */
  append(decision: Decision): Receipt {
    if (this.#bytes >= this.#options.fileBytesMax) this.#rotate();
    return this.#write({ kind: "decision", decision });
  }

  /** Forces what was appended to disk; to be called on a timer. */
  sync(): void {
    if (!this.#unsynced) return;
    fsyncSync(this.#file);
    fsyncSync(this.#head);
    this.#unsynced = false;
  }

  close(): void {
    this.sync();
    closeSync(this.#file);
    closeSync(this.#head);
  }

  #write(content: { kind: "decision"; decision: Decision } | { kind: "rotated" }): Receipt {
    const place = { v: 1, seq: this.#last.seq + 1, at: this.#options.now(), prev: this.#last.hash } as const;
    const record = sealed({ ...place, ...content } as ReceiptBody, this.#key);
    const line = Buffer.from(`${JSON.stringify(record)}\n`);
    const before = this.#bytes;
    try {
      writeWhole(this.#file, line, undefined);
    } catch (error) {
      // Half a line would spoil the next one: the file ends where it ended.
      ftruncateSync(this.#file, before);
      throw error;
    }
    this.#bytes += line.length;
    this.#last = record;
    // Always as long, so that it is replaced in place.
    writeWhole(this.#head, Buffer.from(headText(record)), 0);
    this.#unsynced = true;
    return record;
  }

  #rotate(): void {
    const { seq } = this.#write({ kind: "rotated" });
    fsyncSync(this.#file);
    closeSync(this.#file);
    const { folder } = this.#options;
    renameSync(join(folder, LOG_NAME), join(folder, `receipts-${String(seq).padStart(12, "0")}.jsonl`));
    this.#file = openSync(join(folder, LOG_NAME), "a+", 0o600);
    this.#bytes = 0;
  }

  /** The end of the chain as the files have it. A line that a power cut left half written was never acted on: it goes. */
  #recover(head: Pick<Receipt, "seq" | "hash"> | undefined): Pick<Receipt, "seq" | "hash"> {
    const { size } = fstatSync(this.#file);
    const tail = readTail(this.#file, size);
    const end = tail.lastIndexOf(10) + 1;
    const line = tail.subarray(tail.lastIndexOf(10, end - 2) + 1, end);
    if (end < tail.length) ftruncateSync(this.#file, size - (tail.length - end));
    const last = line.length === 0 ? undefined : lastRecord(line);
    if (last === undefined) {
      // Right after a rotation, or the very beginning.
      return head ?? { seq: 0, hash: FIRST_PREV };
    }
    // The record is written before the head, so it may be one ahead.
    const follows = last.seq === (head?.seq ?? 0) + 1 && last.prev === (head?.hash ?? FIRST_PREV);
    const fits = follows || (head !== undefined && last.seq === head.seq && last.hash === head.hash);
    if (!fits) {
      throw new ReceiptLogError(
        `${LOG_NAME} ends with record ${last.seq}, but ${HEAD_NAME} says ${head?.seq ?? "nothing"}: records were removed or ` +
          "replaced while weir did not run. Check them with `weir receipts verify`, then move the folder's files aside to begin a new chain.",
      );
    }
    return last;
  }
}

function openKey(folder: string): KeyObject {
  const path = join(folder, PRIVATE_KEY_NAME);
  if (existsSync(path)) return createPrivateKey(readFileSync(path));
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  writeFileSync(path, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600, flag: "wx" });
  chmodSync(path, 0o600);
  writeFileSync(join(folder, PUBLIC_KEY_NAME), publicKey.export({ type: "spki", format: "pem" }));
  return privateKey;
}

/** Sequence number, hash and signature of the last record; always 16 + 64 + 88 characters and three line ends. */
const headText = ({ seq, hash, sig }: Receipt): string =>
  `${String(seq).padStart(16, "0")}\n${hash}\n${sig}\n`;

/** The end of the chain as the head file has it; undefined without one. Throws where it is not signed by this key. */
export function readHead(folder: string, publicKey: KeyObject): Pick<Receipt, "seq" | "hash"> | undefined {
  const path = join(folder, HEAD_NAME);
  if (!existsSync(path)) return undefined;
  const text = readFileSync(path, "latin1");
  if (text === "") return undefined;
  const [seq = "", hash = "", sig = ""] = text.split("\n");
  const whole = /^\d{16}$/.test(seq) && /^[0-9a-f]{64}$/.test(hash);
  if (!whole || !verify(null, Buffer.from(hash, "hex"), publicKey, Buffer.from(sig, "base64"))) {
    throw new ReceiptLogError(
      `${HEAD_NAME} is damaged or by another key: the end of the chain cannot be checked.`,
    );
  }
  return { seq: Number(seq), hash };
}

function readTail(file: number, size: number): Buffer {
  const length = Math.min(size, 131_072);
  const tail = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    const got = readSync(file, tail, filled, length - filled, size - length + filled);
    if (got === 0) break;
    filled += got;
  }
  return tail.subarray(0, filled);
}

function lastRecord(line: Buffer): Receipt {
  try {
    return JSON.parse(line.toString("utf8")) as Receipt;
  } catch (error) {
    throw new ReceiptLogError(
      `the last line of ${LOG_NAME} is no receipt; check it with \`weir receipts verify\`.`,
      {
        cause: error,
      },
    );
  }
}

function writeWhole(file: number, bytes: Buffer, position: number | undefined): void {
  let written = 0;
  while (written < bytes.length) {
    const at = position === undefined ? undefined : position + written;
    written += writeSync(file, bytes, written, bytes.length - written, at);
  }
}
