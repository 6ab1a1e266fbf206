/**
 * weir as its users run it: `server/main.ts serve` in a process of its own, with its supervisor, over a WEIR_HOME that
 * ends with the test file. Nothing in the process is replaced.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll } from "vitest";
import { openCatalog } from "../../models/catalog.ts";
import { installModel } from "../../models/install.ts";
import { openModelSource } from "../../models/open.ts";
import { makeRandomModel, type RandomModelOptions } from "../../scripts/make-random-model.ts";
import { compileCalibrated } from "../../server/model-tools.ts";
import { send } from "./http-client.ts";

const MAIN = join(import.meta.dirname, "..", "..", "server", "main.ts");
const READY_MS_MAX = 60_000;
const STOP_MS_MAX = 30_000;

const clock = { now: () => performance.now(), wall: () => Date.now() };

/** Whatever a failed test left running ends with its file. */
const running = new Set<Served>();
afterAll(async () => {
  await Promise.all([...running].map((served) => served.stop("SIGKILL")));
});

/** An empty WEIR_HOME. */
export function temporaryHome(): string {
  const home = mkdtempSync(join(tmpdir(), "weir-e2e-"));
  afterAll(() => rmSync(home, { recursive: true, force: true }));
  return home;
}

/** Installs a model of random weights as `weir models import` does. */
export async function installTiny(
  home: string,
  name: string,
  options: Partial<Omit<RandomModelOptions, "out">> = {},
): Promise<void> {
  const path = join(home, `${name.replaceAll("/", "-")}.gguf`);
  makeRandomModel({ shape: "tiny-llama", type: "Q8_0", layers: 2, vocab: 512, ...options, out: path });
  await installFile(home, name, path);
}

async function installFile(home: string, name: string, path: string): Promise<void> {
  const folder = join(home, "models");
  await installModel(
    { path, name, quant: undefined, block: undefined, kv: "auto", existing: "replace" },
    {
      catalog: openCatalog({ folder, builtIn: [] }),
      modelsFolder: folder,
      clock,
      open: openModelSource,
      compile: (source, request) => compileCalibrated(source, request, 1),
      onProgress: () => undefined,
    },
  );
}

export interface ServeSetup {
  readonly home: string;
  /** `engine.rows_max=1` and the like. */
  readonly settings?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Default 0: one that is free. */
  readonly port?: number;
  /** A command that runs it, with its own arguments, and becomes it: `sh -c '...; exec "$@"' sh`. */
  readonly under?: readonly string[];
}

export class Served {
  readonly process: ChildProcess;
  readonly startedAt = performance.now();
  #output = "";
  readonly #exit: Promise<number | string>;

  constructor({ home, settings = [], env = {}, port = 0, under = [] }: ServeSetup) {
    const set = settings.flatMap((setting) => ["--set", setting]);
    const [command = "", ...args] = [
      ...under,
      process.execPath,
      MAIN,
      "serve",
      "--port",
      String(port),
      ...set,
    ];
    this.process = spawn(command, args, {
      cwd: home,
      env: environment(home, env),
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.#output += text;
      });
    }
    running.add(this);
    this.#exit = new Promise((resolve) => {
      this.process.on("close", (code, signal) => {
        running.delete(this);
        resolve(code ?? signal ?? "?");
      });
    });
  }

  /** All that it said so far, on both streams. */
  get output(): string {
    return this.#output;
  }

  /** Resolves to the time since the start, in ms, once it says that it is ready for the n-th time. */
  async ready(times = 1): Promise<number> {
    const announced = (): boolean => this.#output.split("(ready after").length > times;
    const deadline = performance.now() + READY_MS_MAX;
    while (!announced()) {
      if (this.process.exitCode !== null) throw new Error(`weir ended before it was ready:\n${this.#output}`);
      if (performance.now() > deadline) throw new Error(`weir was not ready in time:\n${this.#output}`);
      await sleep(5);
    }
    return performance.now() - this.startedAt;
  }

  get url(): string {
    const url = /serves .* on (http:\/\/\S+) \(ready/.exec(this.#output)?.[1];
    if (url === undefined) throw new Error(`weir has not said where it listens:\n${this.#output}`);
    return url;
  }

  /** The supervisor's child, which holds the engine. */
  get enginePid(): number {
    const [pid] = childrenOf(this.process.pid as number);
    if (pid === undefined) throw new Error("the supervisor has no child");
    return pid;
  }

  /** Of the supervisor and its child, in ms; undefined where the system does not say. */
  get cpuMs(): number | undefined {
    const pids = [this.process.pid as number, ...childrenOf(this.process.pid as number)];
    return pids
      .map(cpuMsOf)
      .reduce((sum, ms) => (sum === undefined || ms === undefined ? undefined : sum + ms));
  }

  /** A sample of /metrics, summed over its labels; 0 where there is none. */
  async metric(name: string, labels = ""): Promise<number> {
    const { text } = await send(`${this.url}/metrics`);
    const lines = text
      .split("\n")
      .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
    const chosen = lines.filter((line) => line.includes(labels));
    return chosen.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
  }

  /** Its exit code, or the signal that ended it. */
  get ended(): Promise<number | string> {
    return this.#exit;
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number | string> {
    if (this.process.exitCode === null) this.process.kill(signal);
    const patience = setTimeout(() => this.process.kill("SIGKILL"), STOP_MS_MAX);
    try {
      return await this.#exit;
    } finally {
      clearTimeout(patience);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** Started and ready. */
export async function serve(setup: ServeSetup): Promise<Served> {
  const served = new Served(setup);
  try {
    await served.ready();
    return served;
  } catch (error) {
    await served.stop("SIGKILL");
    throw error;
  }
}

/** A command of weir to its end, in a process of its own: its exit code, and what it said on both streams. */
export async function runWeir(
  home: string,
  ...args: readonly string[]
): Promise<{ readonly code: number | null; readonly output: string }> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: home,
    env: environment(home),
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { code, output };
}

/** Only what a shell has anyway: the machine's own settings of weir must not leak in. */
const environment = (home: string, more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv => ({
  PATH: process.env["PATH"],
  HOME: home,
  WEIR_HOME: home,
  WEIR_LOG_LEVEL: "warn",
  ...more,
});

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port was given");
  return address.port;
}

/** Resolves to the time that it took, in ms. */
export async function until(what: () => boolean | Promise<boolean>, msMax = 10_000): Promise<number> {
  const startedAt = performance.now();
  while (!(await what())) {
    if (performance.now() - startedAt > msMax) throw new Error(`it did not happen within ${msMax} ms`);
    await sleep(2);
  }
  return performance.now() - startedAt;
}

/** Linux keeps processes as files; only the fields that are needed. */
const PROC = "/proc";

function childrenOf(pid: number): readonly number[] {
  return readdirSync(PROC)
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((other) => Number(statOf(other)?.[3]) === pid);
}

function cpuMsOf(pid: number): number | undefined {
  const fields = statOf(pid);
  // utime and stime, in ticks of a hundredth of a second.
  return fields === undefined ? undefined : 10 * (Number(fields[13]) + Number(fields[14]));
}

/** The fields of /proc/PID/stat, counted from 0; the name in brackets may hold spaces. */
function statOf(pid: number): readonly string[] | undefined {
  const file = join(PROC, String(pid), "stat");
  try {
    const text = existsSync(file) ? readFileSync(file, "utf8") : undefined;
    if (text === undefined) return undefined;
    return [String(pid), "name", ...text.slice(text.lastIndexOf(")") + 2).split(" ")];
  } catch {
    return undefined; // it ended while it was looked at
  }
}
