/**
 * Where there is no container engine: runs the Dockerfile's steps as a script, each stage in a folder of its own, and then
 * the image's command, health check and stop signal. It proves the steps, the file list and the start; not the base image.
 *
 *   npm run check:image
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { homedir, tmpdir } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { ignoreRules, parseDockerfile, type Step } from "./image/dockerfile.ts";

const project = fileURLToPath(new URL("..", import.meta.url));
const START_MS_MAX = 60_000;
const STOP_MS_MAX = 40_000;
const isRoot = process.getuid?.() === 0;

interface Stage {
  readonly root: string;
  workdir: string;
  readonly env: Map<string, string>;
  user: number | undefined;
  cmd: readonly string[];
  healthcheck: readonly string[];
}

const newStage = (root: string): Stage => ({
  root,
  workdir: "/",
  env: new Map(),
  user: undefined,
  cmd: [],
  healthcheck: [],
});

/** An absolute path of the image as a path under the stage's folder; anything else as it is. */
const mapped = (stage: Stage, value: string): string =>
  value.startsWith("/") ? join(stage.root, value) : value;

const inStage = (stage: Stage, path: string): string =>
  path.startsWith("/") ? join(stage.root, path) : join(stage.root, stage.workdir, path);

function environment(stage: Stage, extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  const image = Object.fromEntries([...stage.env].map(([name, value]) => [name, mapped(stage, value)]));
  // the base image's Node is this one; HOME is a folder of the stage, so that nothing of this machine's user counts
  const path = `${dirname(process.execPath)}:${process.env["PATH"] ?? ""}`;
  return { PATH: path, HOME: join(stage.root, "home"), ...image, ...extra };
}

function copy(stage: Stage, sources: readonly string[], to: string, from: Stage | undefined): void {
  const kept = ignoreRules(readFileSync(join(project, ".dockerignore"), "utf8"));
  const many = sources.length > 1 || to.endsWith("/");
  for (const source of sources) {
    const path = from === undefined ? join(project, source) : inStage(from, source);
    const target = many ? join(inStage(stage, to), basename(source)) : inStage(stage, to);
    cpSync(path, target, {
      recursive: true,
      verbatimSymlinks: true,
      filter: (each) => from !== undefined || kept(relative(project, each)),
    });
    if (!existsSync(target)) throw new Error(`${source}: .dockerignore leaves nothing of it`);
  }
}

function runScript(stage: Stage, script: string): void {
  // Image paths that the script names become paths of the stage. Without root nobody can chown, and nobody needs to.
  const places = [...stage.env.values(), stage.workdir].filter((value) => /^\/./.test(value));
  const text = places.reduce((left, place) => left.replaceAll(place, mapped(stage, place)), script);
  const shim = isRoot ? "" : "chown() { :; }; ";
  execFileSync("bash", ["-euc", shim + text], {
    cwd: inStage(stage, "."),
    // Building uses this machine's way to the registry (npm's user settings, proxies); serving does not.
    env: { ...process.env, ...environment(stage), HOME: homedir() },
    stdio: ["ignore", "inherit", "inherit"],
  });
}

function buildStages(steps: readonly Step[], folder: string): Stage {
  const named = new Map<string, Stage>();
  let stage: Stage | undefined;
  for (const { text, line, instruction } of steps) {
    console.log(`Dockerfile:${line}  ${text.length > 100 ? `${text.slice(0, 97)}...` : text}`);
    if (instruction.kind === "from") {
      stage = newStage(join(folder, instruction.name ?? "image"));
      mkdirSync(join(stage.root, "home"), { recursive: true });
      if (instruction.name !== undefined) named.set(instruction.name, stage);
      continue;
    }
    if (stage === undefined) throw new Error(`Dockerfile:${line}: the first instruction must be FROM`);
    switch (instruction.kind) {
      case "workdir":
        stage.workdir = instruction.value;
        mkdirSync(inStage(stage, "."), { recursive: true });
        break;
      case "env":
        for (const [name, value] of instruction.variables) stage.env.set(name, value);
        break;
      case "copy": {
        const from = instruction.from === undefined ? undefined : named.get(instruction.from);
        if (instruction.from !== undefined && from === undefined)
          throw new Error(`Dockerfile:${line}: no stage is named ${instruction.from}`);
        copy(stage, instruction.sources, instruction.to, from);
        break;
      }
      case "run":
        runScript(stage, instruction.script);
        break;
      case "user":
        stage.user = Number.parseInt(instruction.value, 10);
        break;
      case "cmd":
        stage.cmd = instruction.argv;
        break;
      case "healthcheck":
        stage.healthcheck = instruction.argv;
        break;
      case "volume":
      case "expose":
        break;
    }
  }
  if (stage === undefined) throw new Error("Dockerfile: there is no FROM");
  return stage;
}

interface Running {
  readonly child: ChildProcess;
  /** Standard output alone, and together with standard error. */
  readonly results: () => string;
  readonly output: () => string;
  readonly exit: Promise<number | null>;
}

function start(stage: Stage, argv: readonly string[], extra: Readonly<Record<string, string>>): Running {
  const [command = "", ...rest] = argv;
  const identity = isRoot && stage.user !== undefined ? { uid: stage.user, gid: stage.user } : {};
  const child = spawn(command, rest, {
    cwd: inStage(stage, "."),
    env: environment(stage, extra),
    stdio: ["ignore", "pipe", "pipe"],
    ...identity,
  });
  let results = "";
  let output = "";
  child.stdout.on("data", (bytes: Buffer) => {
    results += bytes.toString();
    output += bytes.toString();
  });
  child.stderr.on("data", (bytes: Buffer) => {
    output += bytes.toString();
  });
  const exit = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  return { child, results: () => results, output: () => output, exit };
}

async function finished(running: Running, timeoutMs: number, what: string): Promise<number | null> {
  const code = await Promise.race([running.exit, sleep(timeoutMs, "late" as const, { ref: false })]);
  if (code !== "late") return code;
  running.child.kill("SIGKILL");
  throw new Error(`${what} took longer than ${timeoutMs} ms:\n${running.output()}`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no free port");
  return address.port;
}

function check(holds: boolean, what: string, output: string): void {
  if (!holds) throw new Error(`${what}: no\n${output}`);
  console.log(`ok  ${what}`);
}

async function refusesWithoutKeys(stage: Stage): Promise<void> {
  const server = start(stage, stage.cmd, {});
  const code = await finished(server, START_MS_MAX, "refusing to start without keys");
  check(code !== 0, "without keys it does not start", server.output());
  check(server.output().includes("keys create"), "and says how to make one", server.output());
}

async function servesAndStops(stage: Stage): Promise<void> {
  const create = start(stage, ["node", "server/main.ts", "keys", "create", "--name", "image"], {});
  check((await finished(create, START_MS_MAX, "keys create")) === 0, "it makes a key", create.output());
  check(/^weir-\S+\n$/.test(create.results()), "and writes it alone to standard output", "");

  const address = { HOST: "127.0.0.1", PORT: String(await freePort()) };
  const server = start(stage, stage.cmd, address);
  const deadline = performance.now() + START_MS_MAX;
  let healthy = false;
  while (!healthy && server.child.exitCode === null && performance.now() < deadline) {
    await sleep(250);
    const health = start(stage, stage.healthcheck, address);
    healthy = (await finished(health, START_MS_MAX, "the health check")) === 0;
  }
  check(healthy, "its own health check passes", server.output());
  server.child.kill("SIGTERM");
  check((await finished(server, STOP_MS_MAX, "stopping")) === 0, "SIGTERM ends it with 0", server.output());
}

const folder = mkdtempSync(join(tmpdir(), "weir-image-"));
chmodSync(folder, 0o755); // the image's user must reach it
try {
  const image = buildStages(parseDockerfile(readFileSync(join(project, "Dockerfile"), "utf8")), folder);
  check(image.user !== undefined && image.user !== 0, "the image's user is not root", "");
  await refusesWithoutKeys(image);
  await servesAndStops(image);
  console.log("The Dockerfile's steps work. The image itself was not built.");
} finally {
  rmSync(folder, { recursive: true, force: true });
}
