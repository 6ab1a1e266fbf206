import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openCatalog } from "../../models/catalog.ts";
import {
  type CompileRequest,
  type InstallRequest,
  installModel,
  uninstallModel,
} from "../../models/install.ts";
import type { Manifest } from "../../models/manifest.ts";
import { folderOfName, isModelName, nameOfFolder } from "../../models/model-name.ts";
import { stage, sweep } from "../../models/staging.ts";
import { smallSource, writeSmallModel } from "../support/small-model.ts";

const clock = { now: () => performance.now(), wall: () => Date.now() };

let home: string;
let models: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "weir-catalog-"));
  models = join(home, "models");
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const catalog = (builtIn: readonly string[] = []) => openCatalog({ folder: models, builtIn });

function ports(compile?: (request: CompileRequest) => Promise<Manifest>) {
  return {
    catalog: catalog(),
    modelsFolder: models,
    clock,
    open: (path: string) => smallSource(path),
    compile: async (_source: unknown, request: CompileRequest): Promise<Manifest> =>
      compile === undefined
        ? writeSmallModel(request.outDir, request.name, { createdAt: request.createdAt })
        : compile(request),
    onProgress: () => undefined,
  };
}

const request = (changes: Partial<InstallRequest> = {}): InstallRequest => ({
  path: "small.gguf",
  name: "small",
  quant: undefined,
  block: undefined,
  kv: "auto",
  existing: "keep",
  ...changes,
});

/** Everything below the models' folder, locks and work in progress too. */
const remains = (): readonly string[] =>
  existsSync(models) ? readdirSync(models, { recursive: true, encoding: "utf8" }).sort() : [];

describe("names", () => {
  test("each name has a folder of its own, and comes back from it", () => {
    for (const name of ["a", "llama-3.2-1b", "org/name", "Org_1/n.a-me", "a".repeat(127)]) {
      expect(nameOfFolder(folderOfName(name))).toBe(name);
    }
    expect(folderOfName("a/b")).not.toBe(folderOfName("a-b"));
  });

  test("a name that could leave its folder is refused", () => {
    const tricks = [
      "",
      ".",
      "..",
      "../a",
      "a/../b",
      "a/b/c",
      "/a",
      "a/",
      ".hidden",
      "a\\b",
      "a b",
      "a\0",
      "a\n",
      "a+b",
      "C:a",
      `a/${"b".repeat(127)}`,
      "x".repeat(128),
    ];
    for (const name of tricks) {
      expect(isModelName(name), JSON.stringify(name)).toBe(false);
      expect(() => folderOfName(name)).toThrow("cannot be a model's name");
      expect(catalog().find(name)).toBeUndefined();
    }
  });
});

describe("the catalogue", () => {
  test("built-in models come first, then installed ones by name", () => {
    const builtIn = join(home, "resident");
    writeSmallModel(builtIn, "zz-resident");
    for (const name of ["b", "org/a", "a"]) writeSmallModel(join(models, folderOfName(name)), name);
    const entries = catalog([builtIn]).list();
    expect(entries.map(({ name, origin, state }) => [name, origin, state])).toEqual([
      ["zz-resident", "built-in", "usable"],
      ["a", "installed", "usable"],
      ["b", "installed", "usable"],
      ["org/a", "installed", "usable"],
    ]);
    expect(catalog([builtIn]).find("org/a")).toMatchObject({ name: "org/a", bytes: expect.any(Number) });
  });

  test("a damaged model is listed with the reason, and hides no other", () => {
    writeSmallModel(join(models, "good"), "good");
    const damage: Readonly<Record<string, (folder: string) => void>> = {
      "weir.json is missing": (folder) => rmSync(join(folder, "weir.json")),
      "weir.json is not JSON": (folder) => writeFileSync(join(folder, "weir.json"), "{"),
      "model.onnx is missing": (folder) => rmSync(join(folder, "model.onnx")),
      "model.onnx.data has 7005 bytes instead of 7000": (folder) =>
        appendFileSync(join(folder, "model.onnx.data"), "extra"),
      "weir.json: geometry.layers": (folder) => {
        const file = join(folder, "weir.json");
        writeFileSync(file, readFileSync(file, "utf8").replace('"layers":1', '"layers":0'));
      },
      "weir.json: files.0.name": (folder) => {
        const file = join(folder, "weir.json");
        writeFileSync(
          file,
          readFileSync(file, "utf8").replace('"name":"model.onnx"', '"name":"../model.onnx"'),
        );
      },
      "weir.json is of the model other": (folder) => void writeSmallModel(folder, "other"),
      "weir.json has 4194305 bytes": (folder) =>
        writeFileSync(join(folder, "weir.json"), " ".repeat(4_194_305)),
    };
    for (const [why, harm] of Object.entries(damage)) {
      writeSmallModel(join(models, "bad"), "bad");
      harm(join(models, "bad"));
      const [bad, good] = catalog().list();
      expect(bad).toMatchObject({ name: "bad", state: "broken", why: expect.stringContaining(why) });
      expect(good).toMatchObject({ name: "good", state: "usable" });
      rmSync(join(models, "bad"), { recursive: true });
    }
  });

  test("a manifest that changed is read again", () => {
    const folder = join(models, "a");
    writeSmallModel(folder, "a");
    const open = catalog();
    expect(open.find("a")).toMatchObject({ manifest: { contextLength: 64 } });
    writeSmallModel(folder, "a", { contextLength: 65_536 });
    expect(open.find("a")).toMatchObject({ manifest: { contextLength: 65_536 } });
  });

  test("verify finds a changed byte and names the file", async () => {
    const folder = join(models, "a");
    writeSmallModel(folder, "a");
    const seen: number[] = [];
    expect(await catalog().verify("a", (done) => seen.push(done))).toEqual([]);
    expect(seen.at(-1)).toBe(7000 + "graph of a".length);
    const file = join(folder, "model.onnx.data");
    writeFileSync(file, readFileSync(file, "utf8").replace("w", "W"));
    expect(await catalog().verify("a", () => undefined)).toEqual([
      { file: "model.onnx.data", problem: expect.stringContaining("sha256") },
    ]);
    await expect(catalog().verify("nobody", () => undefined)).rejects.toThrow('There is no model "nobody"');
  });

  test("other folders and files beside the models are passed over", () => {
    mkdirSync(join(models, ".staging"), { recursive: true });
    mkdirSync(join(models, "a b"));
    writeFileSync(join(models, "README"), "");
    expect(catalog().list()).toEqual([]);
    expect(openCatalog({ folder: join(home, "nowhere"), builtIn: [] }).list()).toEqual([]);
  });
});

describe("installing", () => {
  test("a model is in its place when it is complete, and nothing else is left", async () => {
    const manifest = await installModel(request({ name: "org/small" }), ports());
    expect(catalog().find("org/small")).toMatchObject({ state: "usable", manifest });
    expect(remains()).toEqual([
      ".staging",
      "org+small",
      "org+small/model.onnx",
      "org+small/model.onnx.data",
      "org+small/weir.json",
    ]);
  });

  test("the source is closed, whatever happens", async () => {
    const source = smallSource();
    await installModel(request(), { ...ports(), open: () => source });
    await expect(
      installModel(request({ name: "b" }), {
        ...ports(() => Promise.reject(new Error("broken"))),
        open: () => source,
      }),
    ).rejects.toThrow("broken");
    expect(source.closed).toBe(2);
  });

  test("a failure half way leaves nothing", async () => {
    const halfway = async (asked: CompileRequest): Promise<Manifest> => {
      writeFileSync(join(asked.outDir, "model.onnx"), "half");
      throw new Error("no more");
    };
    await expect(installModel(request(), ports(halfway))).rejects.toThrow("no more");
    expect(remains()).toEqual([".staging"]);
  });

  test("a model that the compiler left incomplete is not installed", async () => {
    const incomplete = async (asked: CompileRequest): Promise<Manifest> => {
      const manifest = writeSmallModel(asked.outDir, asked.name);
      rmSync(join(asked.outDir, "model.onnx"));
      return manifest;
    };
    await expect(installModel(request(), ports(incomplete))).rejects.toThrow("model.onnx is missing");
    expect(catalog().list()).toEqual([]);
  });

  test("a taken name is refused; --force keeps the old model until the new one is complete", async () => {
    await installModel(request(), ports());
    await expect(installModel(request(), ports())).rejects.toThrow("installed already");
    const force = request({ existing: "replace" });
    const failing = async (): Promise<Manifest> => {
      expect(catalog().find("small")).toMatchObject({ state: "usable" });
      throw new Error("no more");
    };
    await expect(installModel(force, ports(failing))).rejects.toThrow("no more");
    expect(catalog().find("small")).toMatchObject({ state: "usable", manifest: { contextLength: 64 } });
    const better = async (asked: CompileRequest): Promise<Manifest> =>
      writeSmallModel(asked.outDir, asked.name, { contextLength: 128 });
    await installModel(force, ports(better));
    expect(catalog().find("small")).toMatchObject({ manifest: { contextLength: 128 } });
    expect(remains().filter((path) => path.startsWith(".staging"))).toEqual([".staging"]);
  });

  test("two imports of one name do not meet", async () => {
    let proceed = (): void => undefined;
    const slow = async (asked: CompileRequest): Promise<Manifest> => {
      await new Promise<void>((resolve) => {
        proceed = resolve;
      });
      return writeSmallModel(asked.outDir, asked.name);
    };
    const first = installModel(request(), ports(slow));
    await expect(installModel(request(), ports())).rejects.toThrow(
      /process \d+ on .* is working on the model small/,
    );
    await installModel(request({ name: "other" }), ports());
    proceed();
    await first;
    expect(
      catalog()
        .list()
        .map((entry) => entry.name),
    ).toEqual(["other", "small"]);
  });

  test("the licence of a hub fills in where the file is silent", async () => {
    const licences: unknown[] = [];
    const base = ports();
    const compile = async (
      source: { readonly licence: unknown },
      asked: CompileRequest,
    ): Promise<Manifest> => {
      licences.push(source.licence);
      return writeSmallModel(asked.outDir, asked.name);
    };
    await installModel(request({ licence: "apache-2.0" }), { ...base, compile });
    const own = () => smallSource("b.gguf", { licence: "mit" });
    await installModel(request({ name: "b", licence: "apache-2.0" }), { ...base, compile, open: own });
    expect(licences).toEqual(["apache-2.0", "mit"]);
  });

  test("options that contradict each other are refused with the option named", async () => {
    await expect(installModel(request({ quant: "f32", block: 32 }), ports())).rejects.toThrow("--block");
    await expect(installModel(request({ quant: "f32", kv: "int8" }), ports())).rejects.toThrow("--kv int8");
  });

  test("a model larger than the disk is refused before anything is written", async () => {
    const tensors = new Map([
      ["w", { name: "w", shape: [2 ** 25, 2 ** 25], type: "F32" as const, byteLength: 2 ** 52 }],
    ]);
    const huge = smallSource("huge.gguf");
    const open = () => ({ ...huge, store: { ...huge.store, tensors } });
    await expect(installModel(request(), { ...ports(), open })).rejects.toThrow(
      /needs about .* GB .* are free/,
    );
    expect(remains()).toEqual([".staging"]);
  });
});

describe("removing", () => {
  test("an installed model goes, a broken one too, a built-in one stays", async () => {
    const builtIn = join(home, "resident");
    writeSmallModel(builtIn, "resident");
    writeSmallModel(join(models, "a"), "a");
    mkdirSync(join(models, "bad"));
    const using = { catalog: catalog([builtIn]), modelsFolder: models, clock };
    uninstallModel("a", using);
    uninstallModel("bad", using);
    expect(remains()).toEqual([".staging"]);
    expect(() => uninstallModel("a", using)).toThrow("no model");
    expect(() => uninstallModel("resident", using)).toThrow("comes with weir");
  });
});

describe("what a killed process left", () => {
  const staging = (...parts: string[]): string => join(models, ".staging", ...parts);
  const deadPid = (): number => spawnSync(process.execPath, ["-e", "0"]).pid;
  const lockOf = (owner: object): void => {
    mkdirSync(staging(), { recursive: true });
    writeFileSync(staging("small.lock"), JSON.stringify(owner));
  };

  test("half-made models and dead locks are swept away", () => {
    lockOf({ pid: deadPid(), host: hostname() });
    mkdirSync(staging("small", "new"), { recursive: true });
    writeFileSync(staging("small", "new", "model.onnx"), "half");
    expect(sweep(models, clock)).toEqual(["small"]);
    expect(remains()).toEqual([".staging"]);
  });

  test("a replacement cut between its two renames has the old model all the time, and back in its place", () => {
    writeSmallModel(join(models, "small"), "small");
    lockOf({ pid: deadPid(), host: hostname() });
    mkdirSync(staging("small"), { recursive: true });
    renameSync(join(models, "small"), staging("small", "old"));
    const usable = { name: "small", state: "usable", origin: "installed" };
    expect(catalog().find("small")).toMatchObject({ ...usable, folder: staging("small", "old") });
    expect(catalog().list()).toMatchObject([usable]);
    sweep(models, clock);
    expect(catalog().find("small")).toMatchObject({ ...usable, folder: join(models, "small") });
    expect(existsSync(staging("small"))).toBe(false);
  });

  test("a model that is being made for the first time is not listed", () => {
    using staged = stage(models, "small", clock);
    writeSmallModel(staged.fresh, "small");
    expect(catalog().list()).toEqual([]);
    expect(catalog().find("small")).toBeUndefined();
  });

  test("a process id that was used again does not keep a dead lock alive", () => {
    lockOf({ pid: process.ppid, host: hostname(), started: "1" });
    using staged = stage(models, "small", clock);
    expect(existsSync(staged.fresh)).toBe(true);
  });

  test("another machine's lock holds while it is fresh, and falls when it is old", () => {
    lockOf({ pid: 1, host: "another-machine" });
    expect(() => stage(models, "small", clock)).toThrow("process 1 on another-machine");
    expect(sweep(models, clock)).toEqual([]);
    const long = Date.now() / 1000 - 3600;
    utimesSync(staging("small.lock"), long, long);
    using staged = stage(models, "small", clock);
    expect(existsSync(staged.fresh)).toBe(true);
  });

  test("an import killed by SIGKILL leaves nothing installed, and the next one succeeds", async () => {
    const script = join(import.meta.dirname, "../support/stuck-import.ts");
    const child = spawn(process.execPath, [script, models], { stdio: ["ignore", "pipe", "inherit"] });
    await once(child.stdout, "data");
    expect(existsSync(staging("small", "new", "model.onnx"))).toBe(true);
    await expect(installModel(request(), ports())).rejects.toThrow(`process ${child.pid}`);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(catalog().list()).toEqual([]);
    await installModel(request(), ports());
    expect(catalog().find("small")).toMatchObject({ state: "usable" });
  });
});
