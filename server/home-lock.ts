/**
 * One server a WEIR_HOME: receipts are one chain, and two writers would break it. SQLite's lock on a file is the system's
 * own, so it goes with the process that holds it, however that ends, and holds between containers that share a volume.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { ConfigError } from "./config.ts";

const LOCK_NAME = "server.lock";
/** SQLITE_BUSY */
const BUSY = 5;

export interface HomeLock {
  release(): void;
}

/** Throws ConfigError while another server holds it. */
export function lockHome(home: string): HomeLock {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const file = new DatabaseSync(join(home, LOCK_NAME), { timeout: 0 });
  try {
    file.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
  } catch (error) {
    file.close();
    if ((error as { readonly errcode?: number }).errcode !== BUSY) throw error;
    const message = `is ${home}, which another weir server uses. Stop that one, or give this one a home of its own`;
    throw new ConfigError([{ path: "WEIR_HOME", where: "", message }]);
  }
  return { release: () => file.close() };
}
