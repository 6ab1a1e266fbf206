import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Clock } from "../../../engine/core/clock.ts";
import { takeLock } from "../../../models/lock.ts";
import { sweep } from "../../../models/staging.ts";

let folder: string;
let lock: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "weir-lock-"));
  lock = join(folder, "a.lock");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const clock: Clock = { now: () => performance.now(), wall: () => Date.now() };

/** Another machine's, untouched for an hour: judging it asks the clock, so a test can act between judging and taking. */
function plantDeadLock(path = lock): void {
  writeFileSync(path, JSON.stringify({ pid: 1, host: "another-machine", started: "1" }));
  const anHourAgo = Date.now() / 1000 - 3600;
  utimesSync(path, anHourAgo, anHourAgo);
}

/** Its `nth` look at the wall clock lets a second contender run to its end first. */
function interrupted(nth: number, contender: () => void): Clock {
  let looks = 0;
  const wall = (): number => {
    looks += 1;
    if (looks === nth) contender();
    return Date.now();
  };
  return { ...clock, wall };
}

test.each([1, 2])("of two that judge a lock dead one gets it (the second comes at look %i)", (nth) => {
  plantDeadLock();
  const holders: string[] = [];
  const contend = (name: string, at: Clock): void => {
    try {
      takeLock(lock, "the model a", at);
      holders.push(name);
    } catch (error) {
      expect((error as Error).message).toContain("is working on the model a");
    }
  };
  contend(
    "first",
    interrupted(nth, () => contend("second", clock)),
  );
  expect(holders).toHaveLength(1);
  expect(JSON.parse(readFileSync(lock, "utf8")).pid).toBe(process.pid);
  expect(readdirSync(folder)).toEqual(["a.lock"]);
});

test("a takeover that was itself cut short does not keep the lock for ever", () => {
  plantDeadLock();
  plantDeadLock(`${lock}~takeover`);
  takeLock(lock, "the model a", clock);
  expect(readdirSync(folder)).toEqual(["a.lock"]);
});

test("what a takeover left behind is not swept as a name, least of all while it is held", () => {
  const takeover = join(folder, ".staging", "a.lock~takeover");
  rmSync(folder, { recursive: true });
  sweep(folder, clock);
  writeFolder(takeover);
  expect(sweep(folder, clock)).toEqual([]);
  expect(existsSync(takeover)).toBe(true);
});

function writeFolder(file: string): void {
  mkdirSync(join(file, ".."), { recursive: true });
  writeFileSync(file, "");
}
