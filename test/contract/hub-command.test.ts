import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openCatalog } from "../../models/catalog.ts";
import { makeRandomModel } from "../../scripts/make-random-model.ts";
import { runCli } from "../../server/cli.ts";
import { exportModel } from "../support/exported-model.ts";
import { COMMIT, type HubDouble, startHubDouble } from "../support/hub-double.ts";

/** A small trained model, both as GGUF and as safetensors; not part of the repository. */
const stories = join(import.meta.dirname, "../../../shared/data/models/stories260K");
const skipped = "(skipped: ../shared/data/models/stories260K is absent)";

let home: string;
let hub: HubDouble;
const saved = { ...process.env };
beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), "weir-pull-"));
  const lfs = (path: string) => ({ content: readFileSync(join(stories, path)), lfs: true });
  const files = existsSync(stories)
    ? { "README.md": { content: Buffer.from("") }, "stories260K.gguf": lfs("stories260K.gguf") }
    : {};
  hub = await startHubDouble({ "karpathy/tinyllamas": { license: "mit", token: "hf_secret", files } });
  process.env["WEIR_HOME"] = home;
  process.env["HF_ENDPOINT"] = hub.url;
  process.env["HF_TOKEN"] = "hf_secret";
});
afterEach(async () => {
  process.env = { ...saved };
  await hub.close();
  rmSync(home, { recursive: true, force: true });
});

async function weir(...argv: string[]) {
  const lines: string[] = [];
  const write = (line: string): void => void lines.push(line);
  const code = await runCli(argv, {
    clock: { now: () => performance.now(), wall: () => Date.now() },
    entry: join(import.meta.dirname, "../../server/main.ts"),
    terminal: { out: write, err: write, interactive: false, input: async () => undefined },
  });
  return { code, said: lines.join("\n") };
}

test.skipIf(!existsSync(stories))(
  `weir models pull downloads, compiles and installs with origin and licence, and leaves no download ${skipped}`,
  async () => {
    const { code, said } = await weir("models", "pull", "karpathy/tinyllamas:main", "--parts", "2");
    expect(said).toContain("karpathy/tinyllamas is installed: llama");
    expect(said).toContain("Its licence: mit");
    expect(said).not.toContain("hf_secret");
    expect(code).toBe(0);
    const found = openCatalog({ folder: join(home, "models"), builtIn: [] }).find("karpathy/tinyllamas");
    expect(found).toMatchObject({
      state: "usable",
      manifest: { licence: "mit", source: { kind: "gguf", origin: `karpathy/tinyllamas@${COMMIT}` } },
    });
    expect(readdirSync(join(home, "downloads"))).toEqual([]);
    expect(await weir("models", "verify")).toMatchObject({ code: 0 });
  },
);

test.skipIf(!existsSync(stories))(
  `a taken name is refused before anything is asked of the hub ${skipped}`,
  async () => {
    await weir("models", "pull", "karpathy/tinyllamas", "--name", "tiny");
    hub.seen.length = 0;
    const again = await weir("models", "pull", "karpathy/tinyllamas", "--name", "tiny");
    expect(again).toMatchObject({ code: 1, said: expect.stringContaining("--force") });
    expect(hub.seen).toEqual([]);
    const replaced = await weir(
      "models",
      "pull",
      "karpathy/tinyllamas",
      "--name",
      "tiny",
      "--force",
      "--quant",
      "f32",
    );
    expect(replaced.said).toContain("tiny is installed: llama, f32");
    expect(replaced.said).toContain("f32 cache");
  },
);

test("weir models pull takes in a repository that holds only an exported graph", async () => {
  const gguf = join(home, "model.gguf");
  const folder = join(home, "exported");
  makeRandomModel({ shape: "tiny-llama", type: "Q4_0", out: gguf, seed: 5 });
  exportModel({ gguf, folder, style: "transformers", accuracyLevel: 4 });
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((item) => item.isFile())
    .map((item) => join(item.parentPath, item.name));
  await hub.close();
  hub = await startHubDouble({
    "org/exported": {
      files: Object.fromEntries(
        files.map((file) => [relative(folder, file), { content: readFileSync(file), lfs: true }]),
      ),
    },
  });
  process.env["HF_ENDPOINT"] = hub.url;
  const { code, said } = await weir("models", "pull", "org/exported");
  expect(said).toContain(
    "org/exported is installed: llama, q4 block 32, weights kept without loss, f32 cache",
  );
  expect(code).toBe(0);
  expect(readdirSync(join(home, "downloads"))).toEqual([]);
});

test("a hub that refuses is exit code 1 and one sentence", async () => {
  const { code, said } = await weir("models", "pull", "nobody/nothing");
  expect(code).toBe(1);
  expect(said).toContain("weir: There is no nobody/nothing at main");
  expect(said.split("\n")).toHaveLength(1);
});
