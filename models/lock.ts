/** A lock between processes: a file that names its owner, so that a dead owner's lock is told from a living one's. */
import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
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

/** Throws ModelError while another process holds it. Give it back by removing the file. `work`: `the model a`. */
export function takeLock(lock: string, work: string, clock: Clock): void {
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
    `${who} is working on ${work}. Wait until it is done; if it is not running, remove ${lock}.`,
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
