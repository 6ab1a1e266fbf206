/** tokenizer.json in use: bytes for every id, and what is refused. */
import { describe, expect, test } from "vitest";
import { BYTE_CHARACTERS, byteLevelBytes } from "../../../models/tokenizer/byte-level.ts";
import { loadTokenizer, type Tokenizer } from "../../../models/tokenizer/load.ts";

type Json = Record<string, unknown>;

const byteLevel = (changes: Json = {}): Json => ({
  added_tokens: [
    { id: 3, content: "<|end|>", special: true },
    { id: 5, content: "café ▁", special: false },
  ],
  decoder: { type: "ByteLevel" },
  model: { type: "BPE", vocab: { a: 0, Ġb: 1, Ã: 2, "<0x41>": 4 }, merges: ["Ġ b"] },
  ...changes,
});
const load = (tokenizerJson: Json, tokenizerConfig: Json = {}): Tokenizer =>
  loadTokenizer({ tokenizerJson, tokenizerConfig });
const bytesOf = (tokenizer: Tokenizer): string[] =>
  Array.from({ length: tokenizer.vocabSize }, (_, id) =>
    Buffer.from(tokenizer.tokenBytes(id)).toString("latin1"),
  );
const latin1 = (text: string): string => Buffer.from(text).toString("latin1");

test("the byte-level alphabet has one character a byte, and printable ones stand for themselves", () => {
  expect(new Set(BYTE_CHARACTERS).size).toBe(256);
  expect([
    BYTE_CHARACTERS[0x20],
    BYTE_CHARACTERS[0x41],
    BYTE_CHARACTERS[0x0a],
    BYTE_CHARACTERS[0xad],
  ]).toEqual(["Ġ", "A", "Ċ", "Ń"]);
  expect(byteLevelBytes("ĠAĊ")).toEqual(Uint8Array.of(0x20, 0x41, 0x0a));
  expect(byteLevelBytes("世")).toBeUndefined();
});

describe("bytes", () => {
  test("of byte-level tokens are single bytes, of added tokens their own text", () => {
    expect(bytesOf(load(byteLevel()))).toEqual(["a", " b", "\u00c3", "<|end|>", "<0x41>", latin1("café ▁")]);
  });

  test("of tokens with space marks are text, and <0xXX> is a byte", () => {
    const decoders = [{ type: "Replace", pattern: { String: "▁" }, content: " " }, { type: "ByteFallback" }];
    const vocab = { "▁a▁": 0, "<0xE4>": 1, é: 2 };
    const added = [{ id: 3, content: "<0x41>", special: false }];
    const json = byteLevel({
      added_tokens: added,
      decoder: { type: "Sequence", decoders },
      model: { vocab, merges: [] },
    });
    expect(bytesOf(load(json))).toEqual([" a ", "\u00e4", latin1("é"), "<0x41>"]);
  });

  test("of ids without a token are none", () => {
    const json = byteLevel({ added_tokens: [{ id: 9, content: "x", special: false }] });
    const tokenizer = load(json);
    expect([
      tokenizer.vocabSize,
      tokenizer.tokenBytes(7).length,
      tokenizer.tokenBytes(151_935).length,
    ]).toEqual([10, 0, 0]);
  });
});

describe("a configuration", () => {
  test("may write special tokens as objects and templates as a list", () => {
    const templates = [
      { name: "tool_use", template: "T" },
      { name: "default", template: "{{ bos_token }}D" },
    ];
    const tokenizer = load(byteLevel(), {
      bos_token: { content: "<|end|>", lstrip: false },
      chat_template: templates,
    });
    expect(tokenizer.chatTemplate).toBe("{{ bos_token }}D");
    expect(tokenizer.renderChat([], { addGenerationPrompt: false })).toBe("<|end|>D");
  });

  test("without a template says so when one is asked for", () => {
    const tokenizer = load(byteLevel());
    expect(tokenizer.chatTemplate).toBeUndefined();
    expect(() => tokenizer.renderChat([], { addGenerationPrompt: false })).toThrow(
      /chat_template: is missing/,
    );
  });

  test("gives variables to the template", () => {
    const tokenizer = load(byteLevel(), { chat_template: "{{ tools[0].name }}{{ flag }}" });
    const variables = { tools: [{ name: "search" }], flag: "!" };
    expect(tokenizer.renderChat([], { addGenerationPrompt: false, variables })).toBe("search!");
  });
});

test("truncation and padding in the file do not touch prompts", () => {
  const limits = { truncation: { max_length: 1 }, padding: { strategy: { Fixed: 8 } } };
  const tokenizer = load(byteLevel({ ...limits, pre_tokenizer: { type: "ByteLevel" } }), {
    model_max_length: 1,
  });
  expect(tokenizer.encode("aaa", { addSpecial: true })).toEqual([0, 0, 0]);
});

describe("a wrong tokenizer.json", () => {
  test.each<[string, Json, RegExp]>([
    ["no model", byteLevel({ model: undefined }), /tokenizer\.json: model: is missing/],
    [
      "another model",
      byteLevel({ model: { type: "Unigram", vocab: [] } }),
      /model\.type: Unigram is not supported; supported: BPE/,
    ],
    ["no vocabulary", byteLevel({ model: { type: "BPE" } }), /model\.vocab: must map texts to ids/],
    [
      "an id of a billion",
      byteLevel({ model: { type: "BPE", vocab: { a: 1e9 } } }),
      /model\.vocab: holds an id that is none/,
    ],
    [
      "a negative id",
      byteLevel({ model: { type: "BPE", vocab: { a: -1 } } }),
      /model\.vocab: holds an id that is none/,
    ],
    [
      "added tokens without text",
      byteLevel({ added_tokens: [{ id: 1 }] }),
      /added_tokens\[0\]: must have an id and a content/,
    ],
    [
      "an unknown decoder",
      byteLevel({ decoder: { type: "WordPiece" } }),
      /decoder: found WordPiece; supported: ByteLevel/,
    ],
    ["no decoder", byteLevel({ decoder: null }), /decoder: found none/],
    [
      "an unknown cut",
      byteLevel({ pre_tokenizer: { type: "Nonsense" } }),
      /tokenizer: Transformers\.js refuses it: .*Nonsense/,
    ],
    ["no merges", byteLevel({ model: { type: "BPE", vocab: { a: 0 } } }), /Transformers\.js refuses it/],
  ])("with %s is refused by field", (_, json, message) => {
    expect(() => load(json)).toThrow(message);
  });

  test("with ranks that do not fit its merges is refused", () => {
    const model = { type: "BPE", vocab: { a: 0 }, merges: [["a", "a"]], merge_ranks: [] };
    expect(() => load(byteLevel({ model }))).toThrow(/model\.merge_ranks: must be one number a merge/);
  });
});
