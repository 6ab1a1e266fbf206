/**
 * Conversations that were personal or restricted once, and so stay: for each such class a table of digests in a folder, which
 * forgets nothing by itself, has a fixed size and holds no text. It errs to the safe side only: a conversation that was never
 * pinned may rarely be taken for one that was.
 */
import { createHmac, randomBytes } from "node:crypto";
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { atLeast, type DataClass } from "../core/data-class.ts";
import { Digests, turnsOf } from "./pins/conversation.ts";
import { damaged, PinFile } from "./pins/pin-file.ts";
import { PinTable } from "./pins/pin-table.ts";

export { PinsError } from "./pins/pin-file.ts";

export interface PinsOptions {
  /** Made if it is not there, for the owner alone. One process at a time. */
  readonly folder: string;
  /**
   * Told once, at the start or later, where more than one of a hundred conversations of a hundred messages that were never
   * pinned is taken for one that was. `share`: how many of them, 0..1.
   */
  readonly onFull: (share: number) => void;
  /** Of each table; a power of two. The folder must have been made with the same. Default: 8 MiB, some two million pins. */
  readonly tableBytes?: number;
}

export interface Pins {
  /**
   * The highest class that the conversation had before, for this caller (a key's id or name); undefined where it had none that
   * stays. A body that is no chat has none. One with more than 2048 messages is restricted.
   */
  lookup(caller: string, body: unknown): DataClass | undefined;
  /** The conversation stays of this class from here on. Nothing for public and internal. Throws where it cannot be kept. */
  remember(caller: string, body: unknown, dataClass: DataClass): void;
  /**
   * An answer to a request of this class: any conversation of this caller stays of it once it holds the answer as an assistant's
   * message. Nothing for public and internal, and for answers of less than 32 characters. Throws where it cannot be kept.
   */
  rememberAnswer(caller: string, text: string, dataClass: DataClass): void;
  /** Forces everything to disk. */
  close(): void;
}

/** Throws PinsError where what was remembered is damaged or gone, and the system's errors where it cannot be read. */
export function openPins(options: PinsOptions): Pins {
  return new FilePins(options);
}

const KEY_NAME = "pins.key";
const TABLE_NAMES = { personal: "personal.pins", restricted: "restricted.pins" } as const;
const TABLE_BYTES = 2 ** 23;
const SECRET_BYTES = 32;
/** Further ones are not read: longer conversations stay in the house. */
const MESSAGES_MAX = 2048;
/** A power cut loses what was pinned within this time; a crash of the process loses nothing. */
const SYNC_MS = 1000;
const FULL_SHARE = 0.01;
const FULL_MESSAGES = 100;

class FilePins implements Pins {
  readonly #digests: Digests;
  readonly #personal: StoredTable;
  readonly #restricted: StoredTable;

  constructor({ folder, onFull, tableBytes = TABLE_BYTES }: PinsOptions) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const secret = readSecret(folder) ?? begin(folder, tableBytes);
    this.#digests = new Digests(secret);
    const options = { tableBytes, keyId: keyIdOf(secret), onFull };
    this.#personal = new StoredTable(join(folder, TABLE_NAMES.personal), options);
    try {
      this.#restricted = new StoredTable(join(folder, TABLE_NAMES.restricted), options);
    } catch (error) {
      this.#personal.close();
      throw error;
    }
  }

  lookup(caller: string, body: unknown): DataClass | undefined {
    const turns = turnsOf(body);
    if (turns.length > MESSAGES_MAX) return "restricted";
    let found: DataClass | undefined;
    for (const digests of [this.#digests.beginnings(caller, turns), this.#digests.answers(caller, turns)]) {
      for (const digest of digests) {
        if (this.#restricted.has(digest)) return "restricted";
        if (this.#personal.has(digest)) found = "personal";
      }
    }
    return found;
  }

  remember(caller: string, body: unknown, dataClass: DataClass): void {
    const table = this.#tableOf(dataClass);
    if (table === undefined) return;
    const beginnings = [...this.#digests.beginnings(caller, turnsOf(body).slice(0, MESSAGES_MAX))];
    // What begins as something that is pinned is so already; a new pin each turn would only fill the table.
    if (beginnings.some((each) => table.has(each))) table.write();
    else table.add(beginnings.at(-1));
  }

  rememberAnswer(caller: string, text: string, dataClass: DataClass): void {
    this.#tableOf(dataClass)?.add(this.#digests.answer(caller, text));
  }

  close(): void {
    this.#personal.close();
    this.#restricted.close();
  }

  #tableOf(dataClass: DataClass): StoredTable | undefined {
    if (atLeast(dataClass, "restricted")) return this.#restricted;
    return dataClass === "personal" ? this.#personal : undefined;
  }
}

interface StoredTableOptions {
  readonly tableBytes: number;
  readonly keyId: Uint8Array;
  readonly onFull: (share: number) => void;
}

/** A table whose changes are in its file before anybody relies on them. */
class StoredTable {
  readonly #file: PinFile;
  readonly #table: PinTable;
  readonly #onFull: (share: number) => void;
  #told = false;
  /** Bytes that could not be written; they are tried again with each further use. */
  readonly #unwritten = new Set<number>();
  #timer: NodeJS.Timeout | undefined;
  #syncFailure: unknown;

  constructor(path: string, { tableBytes, keyId, onFull }: StoredTableOptions) {
    if (!existsSync(path)) throw damaged(path, "it is gone");
    this.#file = PinFile.open(path, tableBytes, keyId);
    this.#table = new PinTable(this.#file.bytes);
    this.#onFull = onFull;
    if (this.#table.set < this.#file.count) {
      this.#file.close();
      throw damaged(path, "parts of it are lost");
    }
    this.#tellFull();
  }

  has(digest: string): boolean {
    return this.#table.has(digest);
  }

  /** Throws where it could not be written. */
  add(digest: string | undefined): void {
    if (digest === undefined) return;
    for (const offset of this.#table.add(digest)) this.#unwritten.add(offset);
    this.write();
    this.#tellFull();
  }

  /** Throws where anything that was added before is not in the file. */
  write(): void {
    // What the system could not force to disk it may have dropped: nothing more is promised then.
    if (this.#syncFailure !== undefined) throw this.#syncFailure;
    if (this.#unwritten.size === 0) return;
    this.#file.write([...this.#unwritten], this.#table.set);
    this.#unwritten.clear();
    this.#timer ??= setTimeout(() => this.#sync(), SYNC_MS).unref();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#file.close();
  }

  #sync(): void {
    this.#timer = undefined;
    try {
      this.#file.sync();
    } catch (error) {
      this.#syncFailure = error;
    }
  }

  #tellFull(): void {
    const share = 1 - (1 - this.#table.falseAlarms) ** FULL_MESSAGES;
    if (this.#told || share <= FULL_SHARE) return;
    this.#told = true;
    this.#onFull(share);
  }
}

/** Undefined where there is none yet. */
function readSecret(folder: string): Uint8Array | undefined {
  const path = join(folder, KEY_NAME);
  if (!existsSync(path)) return undefined;
  const text = readFileSync(path, "latin1");
  if (!/^[0-9a-f]{64}\n$/.test(text)) throw damaged(path, "it is no key");
  return Buffer.from(text.trim(), "hex");
}

/** Makes empty tables and, once they are on disk, the key to them: with a key, tables that are gone were lost. */
function begin(folder: string, tableBytes: number): Uint8Array {
  const secret = randomBytes(SECRET_BYTES);
  for (const name of Object.values(TABLE_NAMES)) {
    const path = join(folder, name);
    // One that holds a pin belongs to a key that is gone; one that does not is of a start that broke off.
    if (existsSync(path) && PinFile.holdsBits(path)) throw damaged(join(folder, KEY_NAME), "it is gone");
    PinFile.create(path, tableBytes, keyIdOf(secret));
  }
  const file = openSync(join(folder, KEY_NAME), "wx", 0o600);
  try {
    writeSync(file, `${secret.toString("hex")}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  return secret;
}

const keyIdOf = (secret: Uint8Array): Uint8Array =>
  createHmac("sha256", secret).update("weir pins key").digest().subarray(0, 16);
