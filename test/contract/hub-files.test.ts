/** Which files of a repository a pull fetches, where it holds GGUF files or exported graphs. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Pulled } from "../../models/hub.ts";
import type { DoubleRepository } from "../support/hub-double.ts";
import { large, openPulls, small } from "../support/hub-pulls.ts";

describe("choosing among GGUF files", () => {
  const ggufs = (...names: string[]): DoubleRepository => ({
    files: Object.fromEntries(names.map((name) => [name, large(8000)])),
  });

  test("the only one is taken", async () => {
    await using pulls = await openPulls({ "org/m": ggufs("m-q8.gguf") });
    expect((await pulls.pull("org/m")).path).toMatch(/m-q8\.gguf$/);
  });

  test("several are listed with the way to choose, and --file chooses", async () => {
    await using pulls = await openPulls({ "org/m": ggufs("m-q4.gguf", "big/m-q8.gguf") });
    await expect(pulls.pull("org/m")).rejects.toThrow(
      /several GGUF files.*--file NAME:\n {2}--file m-q4\.gguf {2}\(0 MB\)/,
    );
    const pulled = await pulls.pull("org/m", { file: "big/m-q8.gguf" });
    expect(readFileSync(pulled.path).equals(large(8000).content)).toBe(true);
    await expect(pulls.pull("org/m", { file: "m-q5.gguf" })).rejects.toThrow('no file "m-q5.gguf"');
  });

  test("a repository without a usable model says why", async () => {
    await using pulls = await openPulls({
      "org/pickled": { files: { "pytorch_model.bin": large(8), "config.json": small("{}") } },
      "org/empty": { files: { "README.md": small("") } },
      "org/bare": { files: { "model.safetensors": large(8), "config.json": small("{}") } },
      "org/split": ggufs("m-00001-of-00002.gguf"),
    });
    await expect(pulls.pull("org/pickled")).rejects.toThrow("can run code");
    await expect(pulls.pull("org/empty")).rejects.toThrow("neither safetensors nor a GGUF");
    await expect(pulls.pull("org/bare")).rejects.toThrow("no tokenizer.json");
    await expect(pulls.pull("org/split")).rejects.toThrow("split GGUF");
    expect(pulls.hub.seen.every(({ url }) => url.startsWith("/api/"))).toBe(true);
  });
});

describe("an exported graph", () => {
  const repository = (...graphs: string[]): DoubleRepository => ({
    files: Object.fromEntries([
      ...["config.json", "tokenizer.json", "README.md", "onnx/notes.txt"].map((name) => [name, small(name)]),
      ...graphs.map((name) => [name, large(64)]),
    ]),
  });
  const names = (pulled: Pulled): readonly string[] => readdirSync(join(pulled.path, "..")).sort();

  test("is pulled with its weights, configuration and tokenizer, flat, and is what is imported", async () => {
    const graph = "onnx/model.onnx";
    await using pulls = await openPulls({
      "org/m": repository(
        graph,
        `${graph}_data`,
        `${graph}_data_1`,
        "onnx/model_fp16.onnx",
        "onnx/model_q4.onnx",
      ),
    });
    const pulled = await pulls.pull("org/m");
    expect(pulled.path.endsWith("/model.onnx")).toBe(true);
    expect(names(pulled)).toEqual([
      "config.json",
      "model.onnx",
      "model.onnx_data",
      "model.onnx_data_1",
      "tokenizer.json",
    ]);
  });

  test("of 4 bits is taken where there is none with whole weights, and --file takes any", async () => {
    const graphs = [
      "onnx/model_fp16.onnx",
      "onnx/model_q4.onnx",
      "onnx/model_q4.onnx_data",
      "onnx/model_q8x.onnx",
    ];
    await using pulls = await openPulls({ "org/a": repository(...graphs), "org/b": repository(...graphs) });
    expect(names(await pulls.pull("org/a"))).toContain("model_q4.onnx_data");
    const chosen = await pulls.pull("org/b", { file: "onnx/model_q8x.onnx" });
    expect(names(chosen)).toEqual(["config.json", "model_q8x.onnx", "tokenizer.json"]);
  });

  test("in a folder of its own comes with the files beside it, where --file names it", async () => {
    const files = Object.fromEntries(
      ["genai_config.json", "tokenizer.json", "model.onnx", "model.onnx.data"].flatMap((name) =>
        ["cpu", "gpu"].map((folder) => [`${folder}/${name}`, small(`${folder} ${name}`)]),
      ),
    );
    await using pulls = await openPulls({ "org/m": { files } });
    await expect(pulls.pull("org/m")).rejects.toThrow(/--file NAME:\n {2}--file cpu\/model.onnx/);
    const pulled = await pulls.pull("org/m", { file: "cpu/model.onnx" });
    expect(names(pulled)).toEqual(["genai_config.json", "model.onnx", "model.onnx.data", "tokenizer.json"]);
    expect(readFileSync(pulled.path, "utf8")).toBe("cpu model.onnx");
  });

  test("is passed over where there are safetensors, and refused before it is fetched without a tokenizer", async () => {
    const { "tokenizer.json": _, ...bare } = repository("onnx/model.onnx").files;
    await using pulls = await openPulls({
      "org/both": { files: { ...repository("onnx/model.onnx").files, "model.safetensors": large(8) } },
      "org/bare": { files: bare },
    });
    expect(readdirSync((await pulls.pull("org/both")).path)).toContain("model.safetensors");
    pulls.hub.seen.length = 0;
    await expect(pulls.pull("org/bare")).rejects.toThrow("has onnx/model.onnx but no tokenizer.json");
    expect(pulls.hub.seen).toHaveLength(1);
  });
});
