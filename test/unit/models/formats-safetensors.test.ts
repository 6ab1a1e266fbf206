/** Safetensors in: one file or shards, and how every lie in them is named. */
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openSafetensors } from "../../../models/formats/safetensors.ts";
import { openModelSource } from "../../../models/open.ts";
import { ModelFileError } from "../../../models/source.ts";
import { modelFolder } from "../../support/gguf-folder.ts";

const folder = modelFolder();
let made = 0;

/** A directory with these files; its path. */
function directory(files: Readonly<Record<string, string | Uint8Array>>): string {
  made += 1;
  for (const [name, content] of Object.entries(files)) folder.write(join(String(made), name), content);
  return join(folder.path, String(made));
}

function shard(header: unknown, data: Uint8Array = new Uint8Array(64), length?: bigint): Buffer {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(length ?? BigInt(json.length));
  return Buffer.concat([prefix, json, data]);
}

const single = (header: unknown, length?: bigint): string =>
  directory({ "model.safetensors": shard(header, new Uint8Array(64), length) });

const one = (changes: Record<string, unknown> = {}, name = "w"): unknown => ({
  [name]: { dtype: "F32", shape: [2, 4], data_offsets: [0, 32], ...changes },
});

function refusal(path: string): ModelFileError {
  const start = performance.now();
  try {
    openSafetensors(path).store.close();
  } catch (error) {
    expect(error).toBeInstanceOf(ModelFileError);
    expect(performance.now() - start).toBeLessThan(1000);
    return error as ModelFileError;
  }
  throw new Error("the directory was taken");
}

describe("a right directory", () => {
  test("gives tensors of the three types, with their bytes", () => {
    const header = {
      __metadata__: { format: "pt" },
      f: { dtype: "F32", shape: [2], data_offsets: [0, 8] },
      h: { dtype: "F16", shape: [2, 1], data_offsets: [8, 12] },
      b: { dtype: "BF16", shape: [], data_offsets: [12, 14] },
    };
    const path = directory({
      "model.safetensors": shard(
        header,
        Uint8Array.from({ length: 14 }, (_, i) => i),
      ),
    });
    const { store, files } = openSafetensors(path);
    expect([...store.tensors.values()]).toEqual([
      { name: "f", shape: [2], type: "F32", byteLength: 8 },
      { name: "h", shape: [2, 1], type: "F16", byteLength: 4 },
      { name: "b", shape: [], type: "BF16", byteLength: 2 },
    ]);
    expect(store.read("h", 1, 2)).toEqual(Uint8Array.of(9, 10));
    expect(files).toEqual([join(path, "model.safetensors")]);
    store.close();
  });

  test("may be in shards", () => {
    const path = directory({
      "model.safetensors.index.json": JSON.stringify({
        weight_map: { a: "model-00001-of-00002.safetensors", b: "model-00002-of-00002.safetensors" },
      }),
      "model-00001-of-00002.safetensors": shard(one({}, "a"), new Uint8Array(32).fill(1)),
      "model-00002-of-00002.safetensors": shard(one({}, "b"), new Uint8Array(32).fill(2)),
    });
    const { store, files } = openSafetensors(path);
    expect([store.read("a", 0, 1), store.read("b", 31, 1)]).toEqual([Uint8Array.of(1), Uint8Array.of(2)]);
    expect(files).toHaveLength(3);
    store.close();
  });
});

describe("a wrong file", () => {
  test.each([
    ["a header of 2^63 bytes", single(one(), 2n ** 63n), /header length: 9223372036854775808 is out of any/],
    ["a header of 10 GB", single(one(), 10_000_000_000n), /header length: is 10000000000 bytes/],
    ["a header beyond the end", single(one(), 5_000n), /header: needs 5000 bytes/],
    ["a header that is not JSON", single("{nonsense"), /header: is not JSON/],
    ["a header that is a list", single([]), /header: must hold a JSON object/],
    ["a header that nests for ever", single("[".repeat(1_000_000)), /header: nests deeper than 64/],
    ["a tensor that is a number", single({ w: 1 }), /w: must have dtype/],
    ["a way out in a name", single(one({}, "../w")), /header: the tensor name "\.\.\/w"/],
    [
      "type F8_E4M3",
      single(one({ dtype: "F8_E4M3" })),
      /w: type "F8_E4M3" is not supported; supported: F32, F16, BF16/,
    ],
    [
      "type I32, as GPTQ has",
      single(one({ dtype: "I32" }, "q.qweight")),
      /q\.qweight: type "I32" is not supported/,
    ],
    ["no type", single(one({ dtype: 7 })), /w: type number is not supported/],
    ["a shape of halves", single(one({ shape: [0.5] })), /w: shape must be at most 8 whole numbers/],
    ["a negative shape", single(one({ shape: [-2, -4] })), /w: shape must be/],
    [
      "a shape beyond 2^64",
      single(one({ shape: [2 ** 40, 2 ** 40] })),
      /w: data_offsets span 32 bytes, its shape takes/,
    ],
    [
      "a shape too small for its bytes",
      single(one({ shape: [2, 3] })),
      /w: data_offsets span 32 bytes, its shape takes 24/,
    ],
    ["one offset", single(one({ data_offsets: [0] })), /w: data_offsets must be two whole numbers/],
    ["offsets backwards", single(one({ data_offsets: [32, 0] })), /w: data_offsets span -32 bytes/],
    [
      "data beyond the end",
      single(one({ data_offsets: [40, 72] })),
      /w: its data would end at byte \d+, the file ends/,
    ],
    [
      "two tensors in one place",
      single({ ...(one() as object), ...(one({ shape: [1], data_offsets: [28, 32] }, "v") as object) }),
      /v: its data overlaps that of w/,
    ],
  ])("with %s is refused, and the field named", (_, path, message) => {
    const error = refusal(path);
    expect(error.message).toMatch(message);
    expect(error.file).toBe(join(path, "model.safetensors"));
  });

  test("cut off at any byte is refused", () => {
    const whole = shard(one(), new Uint8Array(32));
    for (let length = 0; length < whole.length; length += 1) {
      refusal(directory({ "model.safetensors": whole.subarray(0, length) }));
    }
  });
});

describe("a wrong directory", () => {
  const index = (weightMap: unknown): string =>
    directory({
      "model.safetensors.index.json": JSON.stringify({ weight_map: weightMap }),
      "a.safetensors": shard(one()),
    });

  test.each([
    ["neither file nor index", directory({ "pytorch_model.bin": "x" }), /model\.safetensors: is missing/],
    [
      "a shard outside",
      index({ w: "../a.safetensors" }),
      /weight_map "w": "\.\.\/a\.safetensors" is not a plain name/,
    ],
    ["a shard at an absolute path", index({ w: "/etc/passwd" }), /"\/etc\/passwd" is not a plain name/],
    ["a shard in a folder", index({ w: "sub/a.safetensors" }), /is not a plain name/],
    ["a shard that is a number", index({ w: 1 }), /weight_map "w": number is not a plain name/],
    [
      "a shard that is missing",
      index({ w: "b.safetensors" }),
      /b\.safetensors: file: cannot be opened \(ENOENT\)/,
    ],
    ["a tensor that is elsewhere", index({ w: "a.safetensors", v: "a.safetensors" }), /"v": .* it is not/],
    ["no map", index([]), /weight_map: must map tensors to files/],
    ["an empty map", index({}), /weight_map: names 0 files/],
    [
      "thousands of shards",
      index(Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`w${i}`, `s${i}.safetensors`]))),
      /weight_map: names 2000 files/,
    ],
  ])("with %s is refused", (_, path, message) => {
    expect(refusal(path).message).toMatch(message);
  });

  test("with one tensor in two shards is refused", () => {
    const path = directory({
      "model.safetensors.index.json": JSON.stringify({
        weight_map: { w: "a.safetensors", v: "b.safetensors" },
      }),
      "a.safetensors": shard(one()),
      "b.safetensors": shard({ ...(one({ data_offsets: [32, 64] }) as object), ...(one({}, "v") as object) }),
    });
    expect(refusal(path).message).toMatch(/w: this tensor also stands in .*a\.safetensors/);
  });
});

describe("a model directory", () => {
  const tokenizer = {
    added_tokens: [{ id: 0, content: "<s>", special: true }],
    model: { type: "BPE", vocab: { "<s>": 0, a: 1 }, merges: [] },
    decoder: { type: "ByteLevel" },
  };
  const model = (changes: Readonly<Record<string, string>> = {}): string =>
    directory({
      "model.safetensors": shard(one()),
      "config.json": JSON.stringify({ model_type: "llama", eos_token_id: 7, bos_token_id: 5 }),
      "tokenizer.json": JSON.stringify(tokenizer),
      ...changes,
    });

  test("takes end tokens from its config where generation_config.json is silent", () => {
    const source = openModelSource(model());
    source.store.close();
    expect([source.bosToken, source.endTokens, source.architecture, source.licence]).toEqual([
      5,
      [7],
      "llama",
      undefined,
    ]);
  });

  test("takes end tokens from generation_config.json, the named one added, and the licence from its card", () => {
    const source = openModelSource(
      model({
        "generation_config.json": '{"eos_token_id": [9, 3], "bos_token_id": null}',
        "tokenizer_config.json": JSON.stringify({
          eos_token: { content: "<|im_end|>" },
          added_tokens_decoder: { "2": { content: "<|im_end|>", special: true } },
        }),
        "chat_template.jinja": "{{ messages }}",
        "README.md": "---\nlanguage: en\nlicense: apache-2.0\n---\n# A model\n",
      }),
    );
    source.store.close();
    expect([source.bosToken, source.endTokens, source.licence]).toEqual([5, [2, 3, 9], "apache-2.0"]);
    expect(source.tokenizer.tokenizerConfig["chat_template"]).toBe("{{ messages }}");
    expect(source.files.map((file) => file.split("/").at(-1))).toEqual([
      ...["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"],
      ...["chat_template.jinja", "model.safetensors"],
    ]);
  });

  test.each([
    [
      "no config.json",
      (path: string) => symlinkSync("gone", join(path, "config.json")),
      /config\.json: file: cannot be/,
    ],
  ])("with %s is refused", (_, spoil, message) => {
    const path = directory({ "model.safetensors": shard(one()), "tokenizer.json": "{}" });
    spoil(path);
    expect(() => openModelSource(path)).toThrow(message);
  });

  test.each([
    ["a config that is not JSON", { "config.json": "{" }, /config\.json: file: is not JSON/],
    ["a config without a model type", { "config.json": "{}" }, /config\.json: model_type: must be a text/],
    [
      "end tokens that are none",
      { "generation_config.json": '{"eos_token_id": ["x"]}' },
      /eos_token_id: must be a token id/,
    ],
    [
      "added tokens that are no list",
      { "tokenizer.json": '{"added_tokens": 3}' },
      /tokenizer\.json: added_tokens: must be a list/,
    ],
  ])("with %s is refused", (_, changes, message) => {
    expect(() => openModelSource(model(changes as Record<string, string>))).toThrow(message);
  });
});
