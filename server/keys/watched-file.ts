/** A small file that counts for as long as it stands there, read again when it changed. */
import { type BigIntStats, closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { stat } from "node:fs/promises";

export const FILE_BYTES_MAX = 16 * 1024 * 1024;

type Reading<Value> =
  | { readonly kind: "absent" }
  | { readonly kind: "read"; readonly value: Value; readonly stamp: string }
  /** `stamp` is undefined where not even that could be seen. */
  | { readonly kind: "broken"; readonly why: string; readonly stamp: string | undefined };

/** Never throws. `parse` may: its message stands in `why`. */
export function readWhole<Value>(path: string, parse: (text: string) => Value): Reading<Value> {
  let handle: number | undefined;
  let stamp: string | undefined;
  try {
    // Not to wait for a writer where somebody put a pipe.
    handle = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    // Before the content: who writes while it is read makes another stamp.
    const stats = fstatSync(handle, { bigint: true });
    if (!stats.isFile()) return { kind: "broken", why: "is not a file", stamp: stampOf(stats) };
    if (stats.size > FILE_BYTES_MAX) {
      const why = `has ${stats.size} bytes; ${FILE_BYTES_MAX} are allowed`;
      return { kind: "broken", why, stamp: stampOf(stats) };
    }
    const text = readFileSync(handle, "utf8");
    stamp = stampOf(stats);
    return { kind: "read", value: parse(text), stamp };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return code === "ENOENT" || code === "ENOTDIR"
      ? { kind: "absent" }
      : { kind: "broken", why: message, stamp };
  } finally {
    if (handle !== undefined) closeSync(handle);
  }
}

export interface WatchedFileOptions<Value> {
  readonly parse: (text: string) => Value;
  /** What holds where there is no file. */
  readonly absent: Value;
  /** Told once of each new state after the first. */
  readonly onBroken: (why: string) => void;
  readonly onChange: (kind: "read" | "absent") => void;
}

/** What cannot be read leaves in force what was read before; a file that is gone does not. */
export class WatchedFile<Value> {
  readonly path: string;
  readonly #options: WatchedFileOptions<Value>;
  #last: Reading<Value>;
  #value: Value;

  /** Throws an Error where the file is there and cannot be read. */
  constructor(path: string, options: WatchedFileOptions<Value>) {
    this.path = path;
    this.#options = options;
    this.#last = readWhole(path, options.parse);
    if (this.#last.kind === "broken") throw new Error(`${path}: ${this.#last.why}`);
    this.#value = this.#last.kind === "read" ? this.#last.value : options.absent;
  }

  get value(): Value {
    return this.#value;
  }

  /** Reads the file; true where `value` is another one now. Never throws. */
  refresh(): boolean {
    const [before, now] = [this.#last, readWhole(this.path, this.#options.parse)];
    this.#last = now;
    if (now.kind === "broken") {
      if (before.kind !== "broken" || before.why !== now.why) this.#options.onBroken(now.why);
      return false;
    }
    if (before.kind === now.kind && stampIn(before) === stampIn(now)) return false;
    this.#value = now.kind === "read" ? now.value : this.#options.absent;
    this.#options.onChange(now.kind);
    return true;
  }

  /** Whether refresh() would find something else; waits for a slow disk without holding anybody up. Never rejects. */
  async isStale(): Promise<boolean> {
    if (this.#last.kind === "broken" && this.#last.stamp === undefined) return true;
    const now = await stat(this.path, { bigint: true }).then(stampOf, () => undefined);
    return now !== stampIn(this.#last);
  }
}

const stampIn = (reading: Reading<unknown>): string | undefined =>
  reading.kind === "absent" ? undefined : reading.stamp;

const stampOf = ({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string =>
  [dev, ino, size, mtimeNs, ctimeNs].join(".");
