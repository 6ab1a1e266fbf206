/**
 * The keys that let in, from the store and from the keys file, while both may change: what `weir keys create` and `revoke`
 * write counts within two seconds. Every doubt keeps out: a source that is gone lets nobody in, and one that cannot be read
 * adds nobody.
 */
import { setInterval } from "node:timers/promises";
import type { KeyVerifier, Principal } from "../ports.ts";
import { parseKeysFile } from "./keys-file.ts";
import { liveEntries, parseStore, type StoredKey } from "./store.ts";
import { type KeyEntry, KeyTable } from "./verifier.ts";
import { WatchedFile } from "./watched-file.ts";

const POLL_MS = 500;

export interface KeyFiles {
  /** `$WEIR_HOME/keys.json`; it need not be there. */
  readonly store: string;
  /** Of WEIR_API_KEYS_FILE. */
  readonly keysFile: string | undefined;
}

export interface KeyRingLog {
  info(facts: object, message: string): void;
  error(facts: object, message: string): void;
}

/**
 * Undefined where no file has a key, not even a revoked one: a server that had keys is never open again. Throws an Error
 * where a file is there and cannot be read.
 */
export function openKeyRing(files: KeyFiles, log: KeyRingLog, pollMs: number = POLL_MS): KeyRing | undefined {
  const ring = new KeyRing(files, log);
  if (files.keysFile === undefined && ring.storeIsEmpty) return undefined;
  void ring.watch(pollMs);
  return ring;
}

export class KeyRing implements KeyVerifier {
  readonly #store: WatchedFile<readonly StoredKey[]>;
  readonly #keysFile: WatchedFile<readonly KeyEntry[]> | undefined;
  readonly #table: KeyTable;
  readonly #closed = new AbortController();

  /** Throws an Error where a file is there and cannot be read. */
  constructor({ store, keysFile }: KeyFiles, log: KeyRingLog) {
    const reports = (file: string) => ({
      onBroken: (why: string) =>
        log.error({ file, why }, "API keys cannot be read; those that were read before stay in force"),
      onChange: (kind: "read" | "absent") =>
        kind === "read"
          ? log.info({ file }, "API keys have changed")
          : log.error({ file }, "a file of API keys is gone; none of its keys is let in any more"),
    });
    this.#store = new WatchedFile(store, { parse: parseStore, absent: [], ...reports(store) });
    this.#keysFile =
      keysFile === undefined
        ? undefined
        : new WatchedFile(keysFile, { parse: parseKeysFile, absent: [], ...reports(keysFile) });
    this.#table = new KeyTable(this.#entries());
  }

  get storeIsEmpty(): boolean {
    return this.#store.value.length === 0;
  }

  verify(key: string): Promise<Principal | undefined> {
    return this.#table.verify(key);
  }

  /** Reads the files now; true where other keys are in force than before. Never throws. */
  refresh(): boolean {
    const changed = [this.#store, this.#keysFile].filter((file) => file?.refresh() === true);
    if (changed.length > 0) this.#table.replace(this.#entries());
    return changed.length > 0;
  }

  /** Until close(): refreshes when a file changes. Keeps no process alive. */
  async watch(pollMs: number): Promise<void> {
    const { signal } = this.#closed;
    try {
      for await (const _ of setInterval(pollMs, undefined, { ref: false, signal })) {
        const stale = await Promise.all([this.#store.isStale(), this.#keysFile?.isStale()]);
        if (stale.includes(true) && !signal.aborted) this.refresh();
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  close(): void {
    this.#closed.abort();
  }

  /** Of an id that is in the store the store alone decides: a revoked key does not come in by a copy of its hash. */
  #entries(): readonly KeyEntry[] {
    const stored = new Set(this.#store.value.map(({ id }) => id));
    const lines = (this.#keysFile?.value ?? []).filter(({ hash }) => !stored.has(hash.id ?? ""));
    return [...liveEntries(this.#store.value), ...lines];
  }
}
