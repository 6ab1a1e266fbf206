/** A lock between processes: a file that names its owner, so that a dead owner's lock is told from a living one's. */
import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import type { Clock } from "../engine/core/clock.ts";
import { ModelError } from "./model-error.ts";

/** Another machine's lock on a shared folder is believed while it was touched within this time. */
const FOREIGN_LOCK_MS_MAX = 10 * 60_000;

interface Owner {
  readonly pid: number;
  readonly host: string;
  /** When the process started, where the system tells: a process id alone may be used again. */
  readonly started: string | undefined;
}

/** A dead owner's lock is taken away under a lock of its own, `LOCK~takeover`: see takeAway(). */
const TAKEOVER = "~takeover";
/** Takeovers of takeovers: each level means a process that was killed within the same few microseconds. */
const TAKEOVERS_MAX = 3;

/** True for the file name of a takeover, which is nobody's work. */
export const isTakeover = (name: string): boolean => name.includes(`.lock${TAKEOVER}`);

/** Throws ModelError while another process holds it. Give it back by removing the file. `work`: `the model a`. */
export function takeLock(lock: string, work: string, clock: Clock): void {
  take(lock, work, clock, 0);
}

function take(lock: string, work: string, clock: Clock, level: number): void {
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
    if (level > TAKEOVERS_MAX || !isDead(lock, clock)) break;
    takeAway(lock, work, clock, level);
  }
  const owner = readOwner(lock);
  const who = owner === undefined ? "another process" : `process ${owner.pid} on ${owner.host}`;
  throw new ModelError(
    `${who} is working on ${work}. Wait until it is done; if it is not running, remove ${lock}.`,
  );
}

/**
 * Between judging a lock dead and removing it, somebody else may have done both and hold a fresh one of the same name; no
 * file system removes a file only if it is still the one that was judged. So only the holder of the takeover removes dead
 * locks, and judges anew once it holds it: nobody else can have changed a dead lock after that.
 */
function takeAway(lock: string, work: string, clock: Clock, level: number): void {
  const takeover = `${lock}${TAKEOVER}`;
  take(takeover, work, clock, level + 1);
  try {
    if (!isDead(lock, clock)) return;
    // Renamed first: a removal that is cut short leaves no lock of this name.
    const away = `${takeover}.${process.pid}`;
    renameSync(lock, away);
    rmSync(away, { force: true });
  } catch (error) {
    // It went by itself meanwhile.
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  } finally {
    rmSync(takeover, { force: true });
  }
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
