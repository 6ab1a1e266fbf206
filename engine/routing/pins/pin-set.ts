/**
 * All pins of one class: tables in files, of which the last one takes further pins and all are asked. Where it is full another
 * one is begun, up to a bound; above that it goes on to take pins and is wrong more often, to the safe side. Changes are in a
 * file before anybody relies on them.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { assert } from "../../core/assert.ts";
import { Flushes } from "../../core/flushes.ts";
import { damaged, PinFile } from "./pin-file.ts";
import { PinTable } from "./pin-table.ts";

export interface PinSetOptions {
  readonly folder: string;
  /** Of the files: `NAME.pins`, `NAME-2.pins` and so on. */
  readonly name: string;
  /** Of each table; a power of two. */
  readonly tableBytes: number;
  readonly tablesMax: number;
  readonly keyId: Uint8Array;
  /** 0..1: how often all tables together may be wrong about a digest; each has its share of it. */
  readonly falseAlarmsMax: number;
  /** Told once, at the start or later, where they are wrong more often. */
  readonly onFull: () => void;
}

/** A power cut loses what was pinned within this time; a crash of the process loses nothing. */
const SYNC_MS = 1000;

interface StoredTable {
  readonly file: PinFile;
  readonly table: PinTable;
  /** Bytes that are not in the file; where they cannot be written they are tried again with each further use. */
  readonly unwritten: Set<number>;
  headIsDue: boolean;
  /** Something was written that may not be on disk. */
  unsynced: boolean;
}

export class PinSet {
  readonly #options: PinSetOptions;
  readonly #tables: StoredTable[] = [];
  readonly #flushes = new Flushes(() => this.#flush());
  #told = false;
  #timer: NodeJS.Timeout | undefined;
  #closed: Promise<void> | undefined;

  /** Throws PinsError where a table is damaged or gone. */
  constructor(options: PinSetOptions) {
    this.#options = options;
    try {
      this.#open();
    } catch (error) {
      for (const { file } of this.#tables) file.close();
      throw error;
    }
    this.#tellFull();
  }

  /** The file of its first table. */
  static path({ folder, name }: Pick<PinSetOptions, "folder" | "name">, index = 0): string {
    return join(folder, index === 0 ? `${name}.pins` : `${name}-${index + 1}.pins`);
  }

  has(digest: string): boolean {
    return this.#tables.some(({ table }) => table.has(digest));
  }

  /** Throws where they could not be written. */
  add(digests: readonly string[]): void {
    for (const digest of digests) {
      if (this.has(digest)) continue;
      const { table, unwritten } = this.#withRoom();
      for (const offset of table.add(digest)) unwritten.add(offset);
    }
    this.write();
    this.#tellFull();
  }

  /** Throws where anything that was added before is not in its file, or could not be forced to disk. */
  write(): void {
    this.#flushes.check();
    assert(this.#closed === undefined, "nothing is pinned once the pins are closed");
    for (const each of this.#tables) {
      if (each.unwritten.size === 0 && !each.headIsDue) continue;
      each.file.write([...each.unwritten], each.table.set);
      each.unwritten.clear();
      each.headIsDue = false;
      each.unsynced = true;
      this.#flushes.written();
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        void this.#flushes.run();
      }, SYNC_MS).unref();
    }
  }

  /** 0..1: the share of the room for pins that is used. */
  get fill(): number {
    const { table } = this.#last();
    const last = Math.min(1, table.digests / table.roomAt(this.#tableFalseAlarmsMax()));
    return Math.min(1, (this.#tables.length - 1 + last) / this.#options.tablesMax);
  }

  /** Forces everything to disk. */
  close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#closed ??= this.#flushes.run().then(() => {
      for (const { file } of this.#tables) file.close();
    });
    return this.#closed;
  }

  #open(): void {
    for (let index = 0; ; index += 1) {
      const path = PinSet.path(this.#options, index);
      const before = this.#tables.at(-1);
      const mustBeThere = before === undefined || before.file.followed;
      if (!existsSync(path)) {
        if (mustBeThere) throw damaged(path, "it is gone");
        return;
      }
      // One that was begun, and of which nothing is known or was ever used, may be half a one: it is made anew when it is needed.
      if (!mustBeThere && !PinFile.holdsBits(path)) return;
      this.#take(path);
      if (before !== undefined && !before.file.followed) {
        before.file.followed = true;
        before.headIsDue = true;
      }
    }
  }

  #take(path: string): StoredTable {
    const { tableBytes, keyId } = this.#options;
    const file = PinFile.open(path, tableBytes, keyId);
    const stored: StoredTable = {
      ...{ file, table: new PinTable(file.bytes), unwritten: new Set() },
      ...{ headIsDue: false, unsynced: false },
    };
    this.#tables.push(stored);
    if (stored.table.set < file.count) throw damaged(path, "parts of it are lost");
    return stored;
  }

  #last(): StoredTable {
    const last = this.#tables.at(-1);
    assert(last !== undefined, "there is a first table");
    return last;
  }

  /** Once in some two million pins it makes a file, and waits for the disk, before any pin is in it. */
  #withRoom(): StoredTable {
    const last = this.#last();
    const { tablesMax, tableBytes, keyId } = this.#options;
    const isFull = last.table.falseAlarms >= this.#tableFalseAlarmsMax();
    if (!isFull || this.#tables.length >= tablesMax) return last;
    const path = PinSet.path(this.#options, this.#tables.length);
    PinFile.create(path, tableBytes, keyId);
    last.file.followed = true;
    last.headIsDue = true;
    return this.#take(path);
  }

  #tableFalseAlarmsMax(): number {
    return this.#options.falseAlarmsMax / this.#options.tablesMax;
  }

  async #flush(): Promise<void> {
    for (const each of this.#tables.filter(({ unsynced }) => unsynced)) {
      each.unsynced = false;
      await each.file.sync();
    }
  }

  #tellFull(): void {
    const falseAlarms = this.#tables.reduce((sum, { table }) => sum + table.falseAlarms, 0);
    if (this.#told || falseAlarms <= this.#options.falseAlarmsMax) return;
    this.#told = true;
    this.#options.onFull();
  }
}
