/** A default model that is not there is said before the start, with what is there and what to do. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Manifest } from "../../models/manifest.ts";
import { folderOfName } from "../../models/model-name.ts";
import { runIn } from "../support/commands.ts";
import { writeSmallModel } from "../support/small-model.ts";

const entry = join(import.meta.dirname, "../../server/main.ts");
let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "weir-start-"));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const folderOf = (name: string): string => join(home, "models", folderOfName(name));
const install = (name: string, changes: Partial<Manifest> = {}): Manifest =>
  writeSmallModel(folderOf(name), name, changes);
const check = (models: object) => {
  writeFileSync(join(home, "weir.yaml"), JSON.stringify({ models }));
  return runIn(home, ["config", "check"]);
};

test("a default model that is not installed is refused with its line, the names of the others, and the way to import one", async () => {
  install("small");
  install("large");
  const { code, err } = await check({ default: "medium" });
  expect(code).toBe(1);
  expect(err).toContain(
    `${join(home, "weir.yaml")}:1: models.default: is medium, but no model of this name is`,
  );
  expect(err).toContain("one that is there (weir-resident, large, small), or leave it out for the first.");
  expect(err).toContain("weir -- models import FILE --name medium`");
});

test("where there is no model at all, none is offered", async () => {
  const { code, err } = await check({ default: "medium", resident: false });
  expect(code).toBe(1);
  expect(err).toMatch(/None is installed\. Install one with `.*models import FILE --name medium`/);
  expect(err).not.toContain("weir-resident");
});

test("a damaged default model is refused with what is wrong with it", async () => {
  install("small");
  rmSync(join(folderOf("small"), "model.onnx"));
  const { code, err } = await check({ default: "small" });
  expect(code).toBe(1);
  expect(err).toMatch(
    /models\.default: is small, but it is damaged: .*model\.onnx.*models import FILE --name small --force`/,
  );
});

test("a default by an alias is looked up by what the alias stands for", async () => {
  install("small");
  expect(await check({ default: "chat", aliases: { chat: "small" } })).toMatchObject({ code: 0, err: "" });
  const { code, err } = await check({ default: "chat", aliases: { chat: "gone" } });
  expect(code).toBe(1);
  expect(err).toContain("is chat, which stands for gone, but no model of this name is installed");
});

test("the embedded model may be the default before it was compiled, unless it is off", async () => {
  expect(await check({ default: "weir-resident" })).toMatchObject({ code: 0 });
  expect(await check({ default: "weir-resident", resident: false })).toMatchObject({ code: 1 });
});

const serve = (...argv: string[]) =>
  spawnSync(process.execPath, [entry, "serve", "--port", "0", ...argv], {
    encoding: "utf8",
    env: { PATH: process.env["PATH"], WEIR_HOME: home },
  });

test("the server does not start without its default model, and sends nobody to a server that is not up", () => {
  install("small");
  const { status, stderr } = serve("--model", "medium");
  expect(status).toBe(2);
  expect(stderr).toContain(
    "flag --model: models.default: is medium, but no model of this name is installed.",
  );
  expect(stderr).toContain("(weir-resident, small)");
  expect(stderr).not.toMatch(/GET \/v1|restarting/);
});
