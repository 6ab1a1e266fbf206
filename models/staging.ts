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
  renameSync,
  rmSync,
  utimesSync,
} from "node:fs";
import { join } from "node:path";
import type { Clock } from "../engine/core/clock.ts";
import { isTakeover, takeLock } from "./lock.ts";
import { folderOfName } from "./model-name.ts";

const STAGING = ".staging";
const TOUCH_EVERY_MS = 30_000;

/** Where the old model of this name stands between the two renames of a replacement, and after a crash there. */
export const replacedFolder = (modelsFolder: string, name: string): string =>
  join(modelsFolder, STAGING, folderOfName(name), "old");

/** Folders of names that are being changed, or were when a process was killed. */
export function stagedFolders(modelsFolder: string): readonly string[] {
  const staging = join(modelsFolder, STAGING);
  if (!existsSync(staging)) return [];
  return readdirSync(staging, { withFileTypes: true })
    .filter((item) => item.isDirectory())
    .map((item) => item.name);
}

export interface Staged {
  /** An empty folder to fill. */
  readonly fresh: string;
  /**
   * Puts `fresh` in the name's place, on disk; what stood there is removed. That takes two renames, since no folder can
   * be renamed onto another one: between them readers find the old model under `replacedFolder`.
   */
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
  takeLock(lock, `the model ${name}`, clock);
  try {
    recover(folder, target);
    const fresh = join(folder, "new");
    const old = replacedFolder(modelsFolder, name);
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
  const folders = new Set(
    readdirSync(staging)
      .filter((item) => !isTakeover(item))
      .map((item) => item.replace(/\.lock$/, "")),
  );
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
