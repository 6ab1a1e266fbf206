/** How much room 100,000 lines take on disk and in memory; peers' took 6 kB each, and whole processes with them (C9, C10). */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import type { LedgerEntry } from "../../engine/core/ledger.ts";
import { SqliteLedger } from "../../engine/metering/ledger/sqlite.ts";
import { traffic } from "../support/ledger-entries.ts";

const LINES = 100_000;
const BATCH = 500;

test("a line takes at most 400 bytes with all indexes and sums, and no memory", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const heapUsed = (): number => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const folder = mkdtempSync(join(tmpdir(), "weir-ledger-"));
  const file = join(folder, "ledger.sqlite");
  const ledger = new SqliteLedger({ file, syncEveryMs: 1000 });
  try {
    let batch: LedgerEntry[] = [];
    let [written, before] = [0, 0];
    for (const entry of traffic(LINES, 30)) {
      batch.push(entry);
      if (batch.length < BATCH) continue;
      written += ledger.appendNow(batch).length;
      batch = [];
      // What is remembered by then are names: teams, keys, models, and the 2,000 people.
      if (written === LINES / 4) before = heapUsed();
    }
    expect(written).toBe(LINES);
    expect(heapUsed() - before).toBeLessThan(4e6);
    await ledger.close();
    expect(statSync(file).size / LINES).toBeLessThan(400);
  } finally {
    await ledger.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
