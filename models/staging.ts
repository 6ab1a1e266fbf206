/**
 * Changes to the models' folder, one at a time per name. Work in progress lives in `models/.staging/NAME/` on the same
 * file system: `new` is being made, `old` is what it replaces. The lock beside it names its owner, so that what a killed
 * process left behind is told from work that goes on.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import type { Clock } from "../engine/core/clock.ts";
import { ModelError } from "./model-error.ts";
import { folderOfName } from "./model-name.ts";

const STAGING = ".staging";
/** Another machine's lock on a shared folder is believed while it was touched within this time. */
const FOREIGN_LOCK_MS_MAX = 10 * 60_000;
const TOUCH_EVERY_MS = 30_000;

interface Owner {
  readonly pid: number;
  readonly host: string;
  /** When the process started, where the system tells: a process id alone may be used again. */
  readonly started: string | undefined;
}

export interface Staged {
  /** An empty folder to fill. */
  readonly fresh: string;
  /** Puts `fresh` in the name's place, at once, on disk; what stood there is removed. */
  commit(): void;
  /** Removes the installed model. */
  removeInstalled(): void;
  /** Shows other machines that the work goes on; cheap, call it often. */
  touch(): void;
  /** Gives the lock back and removes what was not committed. */
  [Symbol.dispose](): void;
}

/** Throws ModelError while another process works on this name. */
export function stage(modelsFolder: string, name: string, clock: Clock): Staged {
  const target = join(modelsFolder, folderOfName(name));
  const folder = join(modelsFolder, STAGING, folderOfName(name));
  const lock = `${folder}.lock`;
  mkdirSync(join(modelsFolder, STAGING), { recursive: true });
  takeLock(lock, name, clock);
  try {
    recover(folder, target);
    const fresh = join(folder, "new");
    const old = join(folder, "old");
    mkdirSync(fresh, { recursive: true });
    let touchedMs = clock.now();
    return {
      fresh,
      commit: () => {
        syncTree(fresh);
        if (existsSync(target)) renameSync(target, old);
        renameSync(fresh, target);
        syncPath(modelsFolder);
      },
      removeInstalled: () => {
        // Not to `old`: after a kill that one is taken back.
        if (existsSync(target)) renameSync(target, join(folder, "removed"));
        syncPath(modelsFolder);
      },
      touch: () => {
        const nowMs = clock.now();
        if (nowMs - touchedMs < TOUCH_EVERY_MS) return;
        touchedMs = nowMs;
        const wall = clock.wall() / 1000;
        utimesSync(lock, wall, wall);
      },
      [Symbol.dispose]: () => {
        recover(folder, target);
        rmSync(lock, { force: true });
      },
    };
  } catch (error) {
    rmSync(lock, { force: true });
    throw error;
  }
}

/** Finishes or undoes what killed processes left; work that goes on is let be. Returns the names that were tidied. */
export function sweep(modelsFolder: string, clock: Clock): readonly string[] {
  const staging = join(modelsFolder, STAGING);
  if (!existsSync(staging)) return [];
  const folders = new Set(readdirSync(staging).map((item) => item.replace(/\.lock$/, "")));
  return [...folders].filter((folder) => {
    const lock = join(staging, `${folder}.lock`);
    try {
      takeLock(lock, folder, clock);
    } catch {
      return false;
    }
    try {
      recover(join(staging, folder), join(modelsFolder, folder));
    } finally {
      rmSync(lock, { force: true });
    }
    return true;
  });
}

/** A replacement that was cut between its two renames gets the old model back; the rest goes. */
function recover(folder: string, target: string): void {
  const old = join(folder, "old");
  if (existsSync(old) && !existsSync(target)) renameSync(old, target);
  rmSync(folder, { recursive: true, force: true });
}

function takeLock(lock: string, name: string, clock: Clock): void {
  const mine = JSON.stringify({
    pid: process.pid,
    host: hostname(),
    started: startOf(process.pid),
  } satisfies Owner);
  // Twice: once for a free lock, once more after a dead owner's was taken away.
  for (let attempt = 0; attempt < 2; attempt += 1) {
    try {
      writeFileSync(lock, mine, { flag: "wx" });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    if (!isDead(lock, clock)) break;
    rmSync(lock, { force: true });
  }
  const owner = readOwner(lock);
  const who = owner === undefined ? "another process" : `process ${owner.pid} on ${owner.host}`;
  throw new ModelError(
    `${who} is working on the model ${name}. Wait until it is done; if it is not running, remove ${lock}.`,
  );
}

function readOwner(lock: string): Owner | undefined {
  try {
    return JSON.parse(readFileSync(lock, "utf8")) as Owner;
  } catch {
    return undefined;
  }
}

function isDead(lock: string, clock: Clock): boolean {
  const owner = readOwner(lock);
  if (owner === undefined || owner.host !== hostname()) {
    const stats = statSync(lock, { throwIfNoEntry: false });
    return stats === undefined || clock.wall() - stats.mtimeMs > FOREIGN_LOCK_MS_MAX;
  }
  if (owner.pid === process.pid && owner.started === startOf(process.pid)) return false;
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    // EPERM: it lives and belongs to somebody else.
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
  const started = startOf(owner.pid);
  return started !== undefined && owner.started !== undefined && started !== owner.started;
}

/** Field 22 of Linux's /proc/PID/stat: ticks from boot to the process's start. Undefined on other systems. */
function startOf(pid: number): string | undefined {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The command's name is in brackets and may hold anything; the fields after it are plain.
    return line.slice(line.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}

function syncTree(folder: string): void {
  for (const item of readdirSync(folder)) syncPath(join(folder, item));
  syncPath(folder);
}

function syncPath(path: string): void {
  const handle = openSync(path, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
