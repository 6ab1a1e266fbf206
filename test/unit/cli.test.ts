import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { freshHome, weir } from "../support/commands.ts";
import { writeSmallModel } from "../support/small-model.ts";

const root = join(import.meta.dirname, "../..");
const entry = join(root, "server/main.ts");
let home: string;
const saved = { ...process.env };
beforeEach(() => {
  home = freshHome();
});
afterEach(() => {
  process.env = { ...saved };
  rmSync(home, { recursive: true, force: true });
});

describe("weir", () => {
  test("help lists the commands and costs next to nothing", () => {
    const meter =
      "process.on('exit',()=>{const{user,system}=process.cpuUsage();console.error((user+system)/1000)})";
    const run = spawnSync(process.execPath, ["--import", `data:text/javascript,${meter}`, entry, "--help"], {
      encoding: "utf8",
    });
    expect(run.status).toBe(0);
    for (const command of ["serve", "models", "keys", "config"]) expect(run.stdout).toContain(command);
    expect(Number(run.stderr), "ms of processor time").toBeLessThan(300);
  });

  test("the version is the package's", async () => {
    expect(await weir(["--version"])).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^\d+\.\d+\.\d+$/),
    });
  });

  test("being called wrongly is exit code 2 with a hint", async () => {
    expect(await weir([])).toMatchObject({ code: 2 });
    expect(await weir(["serv"])).toMatchObject({
      code: 2,
      err: expect.stringContaining("Did you mean serve?"),
    });
    const lacking = await weir(["models", "import", "file.gguf"]);
    expect(lacking).toMatchObject({ code: 2, err: expect.stringContaining("--name") });
    const odd = await weir(["models", "import", "file.gguf", "--name", "a", "--block", "33"]);
    expect(odd).toMatchObject({ code: 2, err: expect.stringContaining("32, 64, 128") });
    expect(await weir(["config", "show", "--set", "x"])).toMatchObject({
      code: 2,
      err: expect.stringContaining("KEY=VALUE"),
    });
  });

  test("a wrong configuration is exit code 2, each problem a line, no stack", async () => {
    const { code, err } = await weir(["models", "list", "--set", "engine.row_max=1", "--set", "log.level=x"]);
    expect(code).toBe(2);
    expect(err.split("\n")).toHaveLength(2);
    expect(err).toContain("did you mean engine.rows_max?");
    expect(err).not.toContain("    at ");
  });

  test("WEIR_DEBUG shows the stack", async () => {
    process.env["WEIR_DEBUG"] = "1";
    expect((await weir(["models", "show", "nobody"])).err).toContain("    at ");
  });
});

describe("weir config", () => {
  test("check accepts a good file and lists what is wrong with a bad one", async () => {
    const good = join(home, "good.yaml");
    writeFileSync(good, "server: {port: 1}");
    expect(await weir(["config", "check", good])).toMatchObject({ code: 0, out: `${good} is valid.` });
    const bad = join(home, "bad.yaml");
    writeFileSync(bad, "server:\n  port: x\n  hots: y\n");
    const { code, err } = await weir(["config", "check", bad]);
    expect(code).toBe(1);
    expect(err).toContain(`${bad}:2: server.port: must be`);
    expect(err).toContain(`${bad}:3: server.hots: is not a setting of weir; did you mean host?`);
    expect(err).toContain("has 2 problems");
  });

  test("check refuses an open address without keys", async () => {
    process.env["HOST"] = "0.0.0.0";
    expect(await weir(["config", "check"])).toMatchObject({
      code: 1,
      err: expect.stringContaining("weir -- keys create --name NAME"),
    });
  });

  test("show tells each value and its origin, and no secret", async () => {
    process.env["PORT"] = "81";
    process.env["HF_TOKEN"] = "hf_secret";
    const { out } = await weir(["config", "show", "--set", "engine.lanes=2"]);
    expect(out).toMatch(/^server\.port +81 +environment PORT$/m);
    expect(out).toMatch(/^engine\.lanes +2 +flag --set engine\.lanes$/m);
    expect(out).toMatch(/^log\.level +info +default$/m);
    expect(out).toMatch(/^HF_TOKEN +\(set, not shown\)/m);
    const json = await weir(["config", "show", "--json"]);
    expect(JSON.parse(json.out)).toMatchObject({ "server.port": { value: 81, from: "environment PORT" } });
    expect(out + json.out).not.toContain("hf_secret");
  });
});

describe("weir models", () => {
  beforeEach(() => {
    writeSmallModel(join(home, "models", "good"), "good", { licence: "mit" });
    mkdirSync(join(home, "models", "bad"));
  });

  test("list shows what there is, and what is damaged", async () => {
    const { out, code } = await weir(["models", "list"]);
    expect(code).toBe(0);
    expect(out).toMatch(/^good +llama +q8\/32 +f32 +64 +0\.0 MB +mit$/m);
    expect(out).toContain("bad  is damaged: weir.json is missing");
    const json = JSON.parse((await weir(["models", "list", "--json"])).out) as {
      name: string;
      state: string;
    }[];
    expect(json.map(({ name, state }) => [name, state])).toEqual([
      ["bad", "broken"],
      ["good", "usable"],
    ]);
  });

  test("show tells all, also as JSON", async () => {
    expect((await weir(["models", "show", "good"])).out).toMatch(/^licence +mit$/m);
    expect(JSON.parse((await weir(["models", "show", "good", "--json"])).out)).toMatchObject({
      weir: 1,
      name: "good",
    });
    expect(await weir(["models", "show", "bad"])).toMatchObject({
      code: 1,
      err: expect.stringContaining("is damaged"),
    });
    expect(await weir(["models", "show", "../x"])).toMatchObject({
      code: 1,
      err: expect.stringContaining("no model"),
    });
  });

  test("verify is exit code 1 when a file has changed", async () => {
    expect(await weir(["models", "verify", "good"])).toMatchObject({ code: 0 });
    writeFileSync(join(home, "models", "good", "model.onnx"), "graph of evil");
    const { code, out, err } = await weir(["models", "verify"]);
    expect(code).toBe(1);
    expect(out).toContain("bad: weir.json: weir.json is missing");
    expect(err).toContain("2 models are damaged");
  });

  test("rm removes, and says what it cannot find", async () => {
    expect(await weir(["models", "rm", "bad"])).toMatchObject({ code: 0 });
    expect(readdirSync(join(home, "models")).sort()).toEqual([".staging", "good"]);
    expect(await weir(["models", "rm", "bad"])).toMatchObject({
      code: 1,
      err: expect.stringContaining("models list"),
    });
  });

  test("import says what is wrong with a file, and installs nothing", async () => {
    const junk = join(home, "junk.gguf");
    writeFileSync(junk, "this is no model");
    for (const file of [junk, join(home, "nowhere.gguf")]) {
      const { code, err } = await weir(["models", "import", file, "--name", "new"]);
      expect(code).toBe(1);
      expect(err).toContain(file);
      expect(err).not.toContain("    at ");
    }
    expect(readdirSync(join(home, "models")).filter((name) => name.startsWith("new"))).toEqual([]);
    expect(await weir(["models", "import", junk, "--name", "weir-resident"])).toMatchObject({ code: 1 });
    expect(await weir(["models", "pull", "no-organisation"])).toMatchObject({
      code: 1,
      err: expect.stringContaining("ORG/NAME"),
    });
  });
});

describe("weir serve", () => {
  test("refuses an open address without keys, through the supervisor, with code 2 and no restart", () => {
    const run = spawnSync(process.execPath, [entry, "serve", "--host", "0.0.0.0", "--port", "0"], {
      encoding: "utf8",
      env: { ...process.env, WEIR_HOME: home },
    });
    expect(run.status).toBe(2);
    expect(run.stderr).toContain("no API keys");
    expect(run.stderr).not.toContain("restarting");
  });
});

describe("the installed command", () => {
  const launcher = join(root, "server/bin/weir.js");
  /** Another Node than the bundled one, as a machine's own would be. */
  const hostNode = (saved["PATH"] ?? "")
    .split(delimiter)
    .filter((folder) => !folder.includes("node_modules"))
    .map((folder) => join(folder, "node"))
    .find(existsSync);

  test("passes arguments and exit codes on", () => {
    const run = (...args: string[]) => spawnSync(process.execPath, [launcher, ...args], { encoding: "utf8" });
    expect(run("--version")).toMatchObject({ status: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
    expect(run("bogus")).toMatchObject({ status: 2, stderr: expect.stringContaining("unknown command") });
  });

  test.skipIf(hostNode === undefined)(
    "runs on the machine's own Node and passes signals on (skipped: no other node on the PATH)",
    async () => {
      const env = { ...process.env, WEIR_HOME: home };
      // Reads standard input, which stays open: it waits until it is told to stop.
      const child = spawn(hostNode ?? "", [launcher, "keys", "hash"], {
        stdio: ["pipe", "pipe", "inherit"],
        env,
      });
      const ended = new Promise((resolve) => child.on("exit", (code, signal) => resolve(code ?? signal)));
      await new Promise((resolve) => setTimeout(resolve, 1500));
      expect(child.exitCode).toBeNull();
      child.kill("SIGTERM");
      expect([143, "SIGTERM"]).toContain(await ended);
    },
  );
});
