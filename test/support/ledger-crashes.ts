/** Kills a process that writes to a ledger, at any moment, again and again, and looks at what is left. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { DAY_MS } from "../../engine/metering/ledger/ledger.ts";
import { SqliteLedger } from "../../engine/metering/ledger/sqlite.ts";
import { Chance } from "./chance.ts";
import { JANUARY, numbered } from "./ledger-entries.ts";

export interface Left {
  readonly acknowledged: number;
  /** Acknowledged, and not there exactly once. */
  readonly wrong: number;
  readonly lines: number;
  readonly problems: readonly string[];
  /** The sums are those of lines 0, 1, ... without a gap. */
  readonly summed: boolean;
}

/** Each time the next process goes on, beginning with some entries that may be there already. */
export async function crashes(times: number, seed: number): Promise<readonly Left[]> {
  const folder = mkdtempSync(join(tmpdir(), "weir-crash-"));
  const file = join(folder, "ledger.sqlite");
  const chance = new Chance(seed);
  const results: Left[] = [];
  const acknowledged = new Set<number>();
  try {
    for (let turn = 0; turn < times; turn += 1) {
      const start = Math.max(0, acknowledged.size - chance.between(0, 20));
      const how = chance.oneIn(2) ? "tick" : "now";
      for (const number of await killed(file, start, how, chance)) acknowledged.add(number);
      results.push(await left(file, acknowledged));
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return results;
}

/** The numbers that it told before it was killed. */
async function killed(file: string, start: number, how: string, chance: Chance): Promise<readonly number[]> {
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, "ledger-child.ts"), file, String(start), how],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  let told = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    told += text;
  });
  await Promise.race([once(child.stdout, "data"), once(child, "exit")]);
  await pause(chance.between(0, 60));
  const gone = once(child, "close");
  child.kill("SIGKILL");
  await gone;
  // A number whose end is missing was cut off while it was told.
  return told.split("\n").slice(0, -1).map(Number);
}

async function left(file: string, acknowledged: ReadonlySet<number>): Promise<Left> {
  const ledger = new SqliteLedger({ file, syncEveryMs: 1000 });
  try {
    const seen = new Map<string, number>();
    for await (const { entry } of ledger.export(0, JANUARY + 10_000 * DAY_MS))
      seen.set(entry.request, (seen.get(entry.request) ?? 0) + 1);
    const wrong = [...acknowledged].filter((number) => seen.get(numbered(number).request) !== 1).length;
    const { problems } = await ledger.verify();
    const { total } = await ledger.usage({ from: 0, to: JANUARY + 10_000 * DAY_MS });
    const lines = seen.size;
    const sum = (BigInt(lines) * BigInt(lines - 1)) / 2n;
    const summed = total.requests === lines && total.energyUj === sum && total.cost.price === 3n * sum;
    return { acknowledged: acknowledged.size, wrong, lines, problems, summed };
  } finally {
    await ledger.close();
  }
}
