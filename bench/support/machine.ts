/** What a figure must be read with: commit, machine, versions of everything that was measured. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..", "..");

export interface RunFacts {
  /** When it started, UTC; names the run in the results. */
  readonly run: string;
  readonly commit: string;
  /** True where tracked files differ from the commit. */
  readonly changed: boolean;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGib: number;
  /** Of the last minute, when it started. */
  readonly loadBefore: number;
  readonly node: string;
  readonly packages: Readonly<Record<string, string>>;
}

/** Other programs' share of all processor time; above it the figures are not to be trusted. */
const OTHERS_MAX = 0.05;

export interface Watch {
  readonly facts: RunFacts;
  /** Since the start: the share of the machine's processor time that other programs took, from 0 to 1. */
  othersShare(): number;
}

/** `childSeconds`: processor time of processes that the run itself started, known by the time of the call. */
export function watchMachine(childSeconds: () => number = () => 0): Watch {
  const machine = busySeconds();
  const own = process.cpuUsage();
  return {
    facts: runFacts(),
    othersShare: () => {
      const { busy, all } = busySeconds();
      const { user, system } = process.cpuUsage(own);
      const others = busy - machine.busy - (user + system) / 1e6 - childSeconds();
      return Number(Math.min(1, Math.max(0, others / (all - machine.all))).toFixed(3));
    },
  };
}

/** A busy machine is worst for engines whose threads wait for each other in a loop, as llama.cpp's do: it is no fair judge. */
export function warnOfOthers(share: number): void {
  const percent = (100 * share).toFixed(0);
  if (share > OTHERS_MAX)
    console.log(
      `WARNING: other programs took ${percent} % of the processors: these figures are not to be trusted`,
    );
}

function busySeconds(): { readonly busy: number; readonly all: number } {
  const times = cpus().map(({ times: of }) => of);
  const idle = times.reduce((sum, of) => sum + of.idle, 0) / 1000;
  const all = times.reduce((sum, of) => sum + of.user + of.nice + of.sys + of.irq + of.idle, 0) / 1000;
  return { busy: all - idle, all };
}

function runFacts(): RunFacts {
  const git = (...args: readonly string[]): string =>
    execFileSync("git", args, { cwd: ROOT, encoding: "utf8" }).trim();
  return {
    run: new Date().toISOString(),
    commit: git("rev-parse", "--short=12", "HEAD"),
    changed: git("status", "--porcelain", "--untracked-files=no") !== "",
    cpu: cpuModel(),
    cores: availableParallelism(),
    memoryGib: Math.round(totalmem() / 2 ** 30),
    loadBefore: Number((loadavg()[0] ?? 0).toFixed(2)),
    node: process.versions.node,
    packages: Object.fromEntries(
      ["onnxruntime-node", "node-llama-cpp", "@xenova/transformers"].map((name) => [name, versionOf(name)]),
    ),
  };
}

/** Virtual machines hide the model's name; family, model and the widest vector unit tell as much. */
function cpuModel(): string {
  const name = cpus()[0]?.model.trim() ?? "unknown";
  try {
    const info = readFileSync("/proc/cpuinfo", "utf8");
    const field = (key: string): string => new RegExp(`^${key}\\s*: (.*)$`, "m").exec(info)?.[1] ?? "?";
    const flags = field("flags").split(" ");
    const known = ["avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8"].filter((flag) =>
      flags.includes(flag),
    );
    return `${name}, family ${field("cpu family")} model ${field("model")}, ${known.join(" ")}`;
  } catch {
    return name;
  }
}

function versionOf(name: string): string {
  const path = join(ROOT, "node_modules", name, "package.json");
  return (JSON.parse(readFileSync(path, "utf8")) as { version: string }).version;
}
