/**
 * Conversations that were personal or restricted once, and so stay: for each such class tables of digests in a folder, which
 * forget nothing by themselves, have a bounded size and hold no text. They err to the safe side only: a conversation that was
 * never pinned may rarely be taken for one that was.
 */
import { createHmac, randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { atLeast, type DataClass } from "../core/data-class.ts";
import { Digests, type Marks, turnsOf } from "./pins/conversation.ts";
import { damaged, PinFile } from "./pins/pin-file.ts";
import { PinSet } from "./pins/pin-set.ts";

export { PinsError } from "./pins/pin-file.ts";

export interface PinsOptions {
  /** Made if it is not there, for the owner alone. One process at a time. */
  readonly folder: string;
  /**
   * Told once for each class, at the start or later, where all its tables are full: more than one of a hundred conversations of
   * a hundred messages that were never pinned is then taken for one that was, and ever more.
   */
  readonly onFull: (dataClass: PinnedClass) => void;
  /** Of each table; a power of two. The folder must have been made with the same. Default: 8 MiB, some two million pins. */
  readonly tableBytes?: number;
  /** Of each class, at most. Default: 16, some thirty million pins; all are in memory. */
  readonly tablesMax?: number;
}

/** The classes that stay. */
export type PinnedClass = "personal" | "restricted";

export interface Pins {
  /**
   * The highest class that the conversation had before, for this caller (a key's id or name); undefined where it had none that
   * stays. A body that is neither a chat nor a completion has none. One with more than 2048 messages and calls is restricted.
   * A body must not change between this and `remember`.
   */
  lookup(caller: string, body: unknown): DataClass | undefined;
  /**
   * The conversation stays of this class from here on, and so does each that holds one of the messages, of 64 characters at the
   * least, which its user has sent since the last answer. Nothing for public and internal. Throws where it cannot be kept.
   */
  remember(caller: string, body: unknown, dataClass: DataClass): void;
  /**
   * An answer to a request of this class, or the arguments of a call in it: any conversation of this caller stays of it once it
   * holds them as an assistant's. Nothing for public and internal, and for less than 32 characters. Throws where it cannot be
   * kept.
   */
  rememberAnswer(caller: string, text: string, dataClass: DataClass): void;
  /** 0..1 for each class: the share of the room for pins that is used. */
  fill(): Readonly<Record<PinnedClass, number>>;
  /** Forces everything to disk. Never rejects. */
  close(): Promise<void>;
}

/** Throws PinsError where what was remembered is damaged or gone, and the system's errors where it cannot be read. */
export function openPins(options: PinsOptions): Pins {
  return new FilePins(options);
}

const KEY_NAME = "pins.key";
const PINNED_CLASSES = ["personal", "restricted"] as const satisfies readonly PinnedClass[];
const TABLE_BYTES = 2 ** 23;
const TABLES_MAX = 16;
const SECRET_BYTES = 32;
/** Further ones are not read: longer conversations stay in the house. */
const MESSAGES_MAX = 2048;
/** A hundred messages are looked up as a hundred beginnings and up to a hundred texts: one in a hundred is wrong at this. */
const FALSE_ALARMS_MAX = 1 - (1 - 0.01) ** (1 / 200);

interface Known extends Marks {
  readonly caller: string;
  readonly isLong: boolean;
}

class FilePins implements Pins {
  readonly #digests: Digests;
  readonly #kept = new WeakMap<object, Known>();
  readonly #personal: PinSet;
  readonly #restricted: PinSet;

  constructor({ folder, onFull, tableBytes = TABLE_BYTES, tablesMax = TABLES_MAX }: PinsOptions) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const secret = readSecret(folder) ?? begin(folder, tableBytes);
    this.#digests = new Digests(secret);
    const open = (name: PinnedClass): PinSet =>
      new PinSet({
        ...{ folder, name, tableBytes, tablesMax, keyId: keyIdOf(secret) },
        falseAlarmsMax: FALSE_ALARMS_MAX,
        onFull: () => onFull(name),
      });
    this.#personal = open("personal");
    try {
      this.#restricted = open("restricted");
    } catch (error) {
      void this.#personal.close();
      throw error;
    }
  }

  lookup(caller: string, body: unknown): DataClass | undefined {
    const { beginnings, sayings, isLong } = this.#known(caller, body);
    if (isLong) return "restricted";
    let found: DataClass | undefined;
    for (const digests of [beginnings, sayings]) {
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
    const { beginnings, asked } = this.#known(caller, body);
    // What begins as something that is pinned is so already; a new pin each turn would only fill the table.
    if (beginnings.some((each) => table.has(each))) table.write();
    else table.add([...beginnings.slice(-1), ...asked]);
  }

  rememberAnswer(caller: string, text: string, dataClass: DataClass): void {
    const digest = this.#digests.answer(caller, text);
    if (digest !== undefined) this.#tableOf(dataClass)?.add([digest]);
  }

  fill(): Readonly<Record<PinnedClass, number>> {
    return { personal: this.#personal.fill, restricted: this.#restricted.fill };
  }

  async close(): Promise<void> {
    await Promise.all([this.#personal.close(), this.#restricted.close()]);
  }

  /** A request is looked up, and remembered a moment later: its texts are read once. */
  #known(caller: string, body: unknown): Known {
    const isKept = typeof body === "object" && body !== null;
    const kept = isKept ? this.#kept.get(body) : undefined;
    if (kept?.caller === caller) return kept;
    const turns = turnsOf(body);
    const isLong = turns.reduce((sum, { calls }) => sum + 1 + calls.length, 0) > MESSAGES_MAX;
    const read = isLong ? turns.slice(0, MESSAGES_MAX).map((turn) => ({ ...turn, calls: [] })) : turns;
    const known = { ...this.#digests.marks(caller, read), caller, isLong };
    if (isKept) this.#kept.set(body, known);
    return known;
  }

  #tableOf(dataClass: DataClass): PinSet | undefined {
    if (atLeast(dataClass, "restricted")) return this.#restricted;
    return dataClass === "personal" ? this.#personal : undefined;
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
  // One that holds a pin belongs to a key that is gone; one that does not is of a start that broke off.
  for (const name of readdirSync(folder)) {
    if (name.endsWith(".pins") && PinFile.holdsBits(join(folder, name)))
      throw damaged(join(folder, KEY_NAME), "it is gone");
  }
  for (const name of PINNED_CLASSES)
    PinFile.create(PinSet.path({ folder, name }), tableBytes, keyIdOf(secret));
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
