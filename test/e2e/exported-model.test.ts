/**
 * An exported decoder from its directory to answers over HTTP, beside the same weights compiled by weir: the two cannot be
 * told apart. And what happens to directories that do not hold what they seem to.
 */
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeRandomModel } from "../../scripts/make-random-model.ts";
import { runCli } from "../../server/cli.ts";
import { type Composed, compose } from "../../server/compose.ts";
import { loadConfig } from "../../server/config.ts";
import { exportModel } from "../support/exported-model.ts";

const clock = { now: () => performance.now(), wall: () => Date.now() };
const work = mkdtempSync(join(tmpdir(), "weir-exported-"));
const home = join(work, "home");
const gguf = join(work, "model.gguf");
const saved = { ...process.env };

async function weir(...argv: string[]) {
  const lines: string[] = [];
  const write = (line: string): void => void lines.push(line);
  const code = await runCli(argv, {
    clock,
    entry: join(import.meta.dirname, "../../server/main.ts"),
    terminal: { out: write, err: write, interactive: false, input: async () => undefined },
  });
  return { code, said: lines.join("\n") };
}

const installed = (): readonly string[] =>
  readdirSync(join(home, "models")).filter((name) => name[0] !== ".");

beforeAll(() => {
  process.env["WEIR_HOME"] = home;
  makeRandomModel({ shape: "tiny-llama", type: "Q4_0", out: gguf, seed: 5 });
});
afterAll(() => {
  process.env = { ...saved };
  rmSync(work, { recursive: true, force: true });
});

describe("an exported model", () => {
  const directory = join(work, "genai");
  const apart = join(work, "transformers");
  let house: Composed;

  beforeAll(async () => {
    exportModel({ gguf, folder: directory, style: "genai", accuracyLevel: 4 });
    for (const graphName of ["model.onnx", "model_q4.onnx"]) {
      exportModel({ gguf, folder: apart, style: "transformers", graphName, accuracyLevel: 4 });
    }
    writeFileSync(join(apart, "README.md"), "---\nlicense: mit\n---\n");
    await weir("models", "import", gguf, "--name", "own", "--kv", "f32");
  });
  afterAll(() => house?.close());

  test("is installed from a directory as ORT GenAI leaves it", async () => {
    const { code, said } = await weir("models", "import", directory, "--name", "genai");
    expect(said).toContain("genai is installed: llama, q4 block 32, weights kept without loss, f32 cache.");
    expect(code).toBe(0);
    expect((await weir("models", "list")).said).toMatch(/genai +llama +q4\/32 +f32 +2048/);
    expect(await weir("models", "verify", "genai")).toMatchObject({ code: 0 });
    expect(readdirSync(join(home, "models", "genai")).sort()).toEqual([
      "model.onnx",
      "model.onnx.data",
      "tokenizer.json",
      "tokenizer_config.json",
      "weir.json",
    ]);
  });

  test("is chosen by its file where a directory holds several", async () => {
    const several = await weir("models", "import", apart, "--name", "web");
    expect(several).toMatchObject({ code: 1 });
    expect(several.said).toContain("onnx/model.onnx, onnx/model_q4.onnx");
    const { code, said } = await weir("models", "import", join(apart, "onnx/model_q4.onnx"), "--name", "web");
    expect(said).toContain("Its licence: mit");
    expect(code).toBe(0);
  });

  test("keeps its own precision, and says so to those who ask for another", async () => {
    const quant = await weir("models", "import", directory, "--name", "x", "--quant", "q8");
    expect(quant).toMatchObject({ code: 1, said: expect.stringContaining("(q4 block 32)") });
    const kv = await weir("models", "import", directory, "--name", "x", "--kv", "int8");
    expect(kv).toMatchObject({ code: 1, said: expect.stringContaining("f32 cache") });
  });

  test("answers as weir's own graph of the same weights does, alone and among others", async () => {
    const env = { WEIR_HOME: home, HOME: work };
    const flags = [
      { path: "models.resident", text: "false", flag: "test" },
      { path: "models.default", text: "own", flag: "test" },
      { path: "log.level", text: "silent", flag: "test" },
      // Shorter than the prompt, so that it comes in pieces beside running rows.
      { path: "engine.chunk_tokens_max", text: "32", flag: "test" },
    ];
    house = await compose(loadConfig({ env, cwd: work, flags }), { clock, version: "test" });
    await house.ready;
    const ask = async (model: string, index: number): Promise<unknown> => {
      const answer = await house.app.inject({
        method: "POST",
        url: "/v1/completions",
        payload: {
          model,
          prompt: `${"a stream runs under the bridge ".repeat(1 + index)}and`,
          max_tokens: 24,
          temperature: index % 2 === 0 ? 0 : 0.8,
          seed: index,
          logprobs: 2,
          ignore_eos: true,
        },
      });
      expect(answer.statusCode, answer.body).toBe(200);
      return (answer.json() as { choices: readonly unknown[] }).choices;
    };
    const asked = Array.from({ length: 6 }, (_, index) => index);
    const alone: unknown[] = [];
    for (const index of asked) alone.push(await ask("own", index));
    expect(new Set(alone.map((choices) => JSON.stringify(choices))).size).toBe(asked.length);
    for (const model of ["genai", "web"]) {
      const together = await Promise.all(asked.map((index) => ask(model, index)));
      expect(together, model).toEqual(alone);
    }
  });

  test("is removed like any other", async () => {
    expect(await weir("models", "rm", "web")).toMatchObject({ code: 0 });
    expect(installed()).toEqual(["genai", "own"]);
  });
});

describe("a directory that is not what it seems", () => {
  const harmed = (name: string, harm: (folder: string) => void): string => {
    const folder = join(work, name);
    exportModel({ gguf, folder, style: "genai" });
    harm(folder);
    return folder;
  };
  const genaiOf = (filename: string) => JSON.stringify({ model: { decoder: { filename } } });

  test.each([
    {
      name: "cut weights",
      harm: (folder: string) => truncateSync(join(folder, "model.onnx.data"), 100_000),
      says: /model\.onnx\.data: initializer ".*": its data would end at byte \d+, the file ends at byte 100000/,
    },
    {
      name: "cut graph",
      harm: (folder: string) => truncateSync(join(folder, "model.onnx"), 5000),
      says: /model\.onnx: model: field 7 at byte \d+ would be \d+ bytes long, \d+ are left/,
    },
    {
      name: "missing weights",
      harm: (folder: string) => rmSync(join(folder, "model.onnx.data")),
      says: /model\.onnx\.data: file: cannot be opened \(ENOENT\)/,
    },
    {
      name: "missing tokenizer",
      harm: (folder: string) => rmSync(join(folder, "tokenizer.json")),
      says: /tokenizer\.json: file: cannot be opened/,
    },
    {
      name: "no configuration",
      harm: (folder: string) => rmSync(join(folder, "genai_config.json")),
      says: /config\.json: is missing, and so is genai_config\.json/,
    },
    {
      name: "an operator that nobody knows",
      harm: (folder: string) => {
        const graph = readFileSync(join(folder, "model.onnx"), "latin1");
        writeFileSync(join(folder, "model.onnx"), graph.replaceAll("Sigmoid", "Sigmund"), "latin1");
      },
      says: /model\.onnx: graph: ONNX Runtime does not run it: .*Sigmund/,
    },
    {
      name: "a file that takes the place of weir's own",
      harm: (folder: string) => {
        // As long as the name that it takes the place of, so that no length in the graph changes.
        const graph = readFileSync(join(folder, "model.onnx"), "latin1");
        writeFileSync(
          join(folder, "model.onnx"),
          graph.replaceAll("model.onnx.data", "model.int8.onnx"),
          "latin1",
        );
        renameSync(join(folder, "model.onnx.data"), join(folder, "model.int8.onnx"));
      },
      says: /model\.onnx: external data: the name model\.int8\.onnx is kept for weir's own files/,
    },
    {
      name: "a graph elsewhere",
      harm: (folder: string) => writeFileSync(join(folder, "genai_config.json"), genaiOf("../model.onnx")),
      says: /genai_config\.json: model\.decoder\.filename: "\.\.\/model\.onnx" is not a plain name/,
    },
  ])("($name) is refused by file and field, and leaves nothing", async ({ name, harm, says }) => {
    const folder = harmed(name.replaceAll(" ", "-"), harm);
    const { code, said } = await weir("models", "import", folder, "--name", "harmed");
    expect(said).toMatch(says);
    expect(code).toBe(1);
    expect(installed()).not.toContain("harmed");
    expect(readdirSync(join(home, "models", ".staging"))).toEqual([]);
  });
});
