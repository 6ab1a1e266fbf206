/** $WEIR_HOME/energy.json: what `weir meter calibrate` found out about this machine. */
import {
  closeSync,
  fchownSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { dirname, join } from "node:path";
import { z } from "zod";
import type { Calibration } from "../../engine/metering/energy/model.ts";

const watts = z.number().min(0).max(1_000_000);

const EnergyFile = z.strictObject({
  version: z.literal(1),
  at: z.iso.datetime(),
  machine: z.strictObject({ processor: z.string().max(200), threads: z.int().min(1).max(65_536) }),
  /** A counter of this machine, or watts that somebody read from a meter. */
  from: z.enum(["counter", "watts"]),
  loads: z
    .array(z.strictObject({ busy_threads: z.number().min(0).max(65_536), watts }))
    .min(2)
    .max(3)
    .refine(
      (loads) => loads.every((load, index) => load.busy_threads > (loads[index - 1]?.busy_threads ?? -1)),
      "must go from few busy threads to many",
    ),
  residual: z.number().min(0).max(10),
});

export interface EnergyRecord extends Calibration {
  /** When, in ms since 1970. */
  readonly at: number;
  readonly from: "counter" | "watts";
}

/** What tells one machine from another: its processor's name and how many logical ones there are. */
export interface MachineName {
  readonly processor: string;
  readonly threads: number;
}

export function thisMachine(): MachineName {
  const all = cpus();
  // Some systems list none.
  return { processor: all[0]?.model.trim() ?? "", threads: all.length || availableParallelism() };
}

export const energyFile = (home: string): string => join(home, "energy.json");

/** Of this machine; or why there is none. A file that is no good is no reason not to start: the figures then say so. */
export function readCalibration(
  home: string,
  machine: MachineName = thisMachine(),
): EnergyRecord | { readonly missing: string } {
  const file = energyFile(home);
  let raw: unknown;
  try {
    raw = JSON.parse(readFileSync(file, "utf8"));
  } catch (failure) {
    const code = (failure as NodeJS.ErrnoException).code;
    if (code === "ENOENT") return { missing: "not calibrated; `weir meter calibrate` does it" };
    return { missing: `${file}: ${code === undefined ? "is no JSON" : `cannot be read (${code})`}` };
  }
  const parsed = EnergyFile.safeParse(raw);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return { missing: `${file}: ${[issue?.path.join("."), issue?.message].filter(Boolean).join(": ")}` };
  }
  const { machine: made, at, from, loads, residual } = parsed.data;
  if (made.processor !== machine.processor || made.threads !== machine.threads)
    return { missing: `${file}: is of another machine (${made.processor}, ${made.threads} threads)` };
  return {
    at: Date.parse(at),
    from,
    loads: loads.map(({ busy_threads: busyThreads, watts: each }) => ({ busyThreads, watts: each })),
    residual,
  };
}

/** Whoever reads meanwhile finds the old file or the new one, whole. Returns its path. */
export function writeCalibration(
  home: string,
  { at, from, loads, residual }: EnergyRecord,
  machine: MachineName = thisMachine(),
): string {
  const file = energyFile(home);
  const data: z.input<typeof EnergyFile> = {
    version: 1,
    at: new Date(at).toISOString(),
    machine,
    from,
    loads: loads.map(({ busyThreads, watts: each }) => ({ busy_threads: busyThreads, watts: each })),
    residual,
  };
  mkdirSync(dirname(file), { recursive: true });
  const fresh = `${file}.new`;
  rmSync(fresh, { force: true });
  const handle = openSync(fresh, "wx", 0o644);
  try {
    writeFileSync(handle, `${JSON.stringify(data, undefined, 2)}\n`);
    giveToOwnerOf(dirname(file), handle);
    fsyncSync(handle);
  } catch (failure) {
    rmSync(fresh, { force: true });
    throw failure;
  } finally {
    closeSync(handle);
  }
  renameSync(fresh, file);
  return file;
}

/** Counters are often for root alone, and the server runs as somebody else. */
function giveToOwnerOf(folder: string, handle: number): void {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = statSync(folder);
  fchownSync(handle, uid, gid);
}
