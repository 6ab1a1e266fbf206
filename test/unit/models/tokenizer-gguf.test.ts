/** Tokenizers inside GGUF metadata: what becomes of their parts, and what is refused. */
import { describe, expect, test } from "vitest";
import { BYTE_CHARACTERS } from "../../../models/tokenizer/byte-level.ts";
import { tokenizerFromGguf } from "../../../models/tokenizer/from-gguf.ts";
import { loadTokenizer, type Tokenizer } from "../../../models/tokenizer/load.ts";

type Metadata = Record<string, unknown>;

const SPM_TOKENS = ["<unk>", "<s>", "</s>", "<0x41>", "▁", "a", "b", "ab", "▁ab", "<tool>", "<|im_end|>"];
const spm = (changes: Metadata = {}): Metadata => ({
  "tokenizer.ggml.model": "llama",
  "tokenizer.ggml.tokens": SPM_TOKENS,
  "tokenizer.ggml.scores": Float32Array.from(SPM_TOKENS, (_, id) => (id < 4 ? 0 : -id)),
  "tokenizer.ggml.token_type": Int32Array.of(2, 3, 3, 6, 1, 1, 1, 1, 1, 4, 3),
  ...changes,
});

const WORDS = ["Ġt", "he", "Ġthe", "12", "123", "1234", "AB"];
const BPE_TOKENS = [...BYTE_CHARACTERS, ...WORDS, "<|endoftext|>", "<|im_end|>"];
const bpe = (changes: Metadata = {}): Metadata => ({
  "tokenizer.ggml.model": "gpt2",
  "tokenizer.ggml.pre": "gpt-2",
  "tokenizer.ggml.tokens": BPE_TOKENS,
  "tokenizer.ggml.merges": ["Ġ t", "h e", "Ġt he", "1 2", "12 3", "123 4"],
  "tokenizer.ggml.eos_token_id": BPE_TOKENS.length - 2,
  ...changes,
});

const load = (metadata: Metadata): Tokenizer => loadTokenizer(tokenizerFromGguf("file.gguf", metadata).files);
const texts = (tokenizer: Tokenizer, text: string, addSpecial = false): (string | undefined)[] =>
  tokenizer.encode(text, { addSpecial }).map(tokenizer.tokenText);

describe("a SentencePiece vocabulary", () => {
  test("merges, puts a space in front, and falls back to bytes or the unknown token", () => {
    const tokenizer = load(spm());
    expect(texts(tokenizer, "ab")).toEqual(["▁ab"]);
    expect(texts(tokenizer, "abA")).toEqual(["▁ab", "<unk>"]); // <0x00> is missing, so there is no byte fallback
    const bytes = Array.from(
      { length: 256 },
      (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, "0")}>`,
    );
    const tokens = ["<unk>", "<s>", "</s>", ...bytes, "▁"];
    const whole = load({
      "tokenizer.ggml.model": "llama",
      "tokenizer.ggml.tokens": tokens,
      "tokenizer.ggml.scores": new Float32Array(tokens.length),
      "tokenizer.ggml.token_type": Int32Array.from(tokens, (_, id) =>
        id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1,
      ),
    });
    expect(texts(whole, "é")).toEqual(["▁", "<0xC3>", "<0xA9>"]);
    expect(whole.decode(whole.encode("é 😀", { addSpecial: true }))).toBe("é 😀");
    expect(whole.tokenBytes(3 + 0xc3)).toEqual(Uint8Array.of(0xc3));
  });

  test("begins with BOS unless the file says no, and ends with EOS only if it says so", () => {
    expect(texts(load(spm()), "ab", true)).toEqual(["<s>", "▁ab"]);
    expect(texts(load(spm({ "tokenizer.ggml.add_bos_token": false })), "ab", true)).toEqual(["▁ab"]);
    expect(texts(load(spm({ "tokenizer.ggml.add_eos_token": true })), "ab", true)).toEqual([
      "<s>",
      "▁ab",
      "</s>",
    ]);
  });

  test("puts no space in front where the file says so", () => {
    const tokenizer = load(spm({ "tokenizer.ggml.add_space_prefix": false }));
    expect(texts(tokenizer, "ab")).toEqual(["ab"]);
    expect([tokenizer.stripsFirstSpace, load(spm()).stripsFirstSpace]).toEqual([false, true]);
    expect(tokenizer.decode(tokenizer.encode(" ab", { addSpecial: false }))).toBe(" ab");
  });

  test("finds control and user-defined tokens in text, and only control ones are special", () => {
    const tokenizer = load(spm());
    expect(texts(tokenizer, "ab<tool>ab</s>")).toEqual(["▁ab", "<tool>", "▁ab", "</s>"]);
    expect(SPM_TOKENS.filter((_, id) => tokenizer.isSpecial(id))).toEqual([
      "<unk>",
      "<s>",
      "</s>",
      "<|im_end|>",
    ]);
    expect(tokenizer.decode(tokenizer.encode("ab<tool>ab</s>", { addSpecial: true }))).toBe("ab<tool> ab");
  });

  test("ends answers at its end token and at control tokens that end turns", () => {
    expect(tokenizerFromGguf("f", spm()).endTokens).toEqual([2, 10]);
    const plain = Int32Array.of(2, 3, 3, 6, 1, 1, 1, 1, 1, 4, 1);
    const eot = { "tokenizer.ggml.eot_token_id": 9, "tokenizer.ggml.eos_token_id": 0xffffffff };
    expect(tokenizerFromGguf("f", spm(eot)).endTokens).toEqual([2, 9, 10]);
    expect(tokenizerFromGguf("f", spm({ "tokenizer.ggml.token_type": plain })).endTokens).toEqual([2, 10]);
    expect(
      tokenizerFromGguf("f", spm({ "tokenizer.ggml.bos_token_id": 0xffffffff })).bosToken,
    ).toBeUndefined();
  });
});

describe("a byte-level vocabulary", () => {
  test("merges in the order of its list and gives bytes back", () => {
    const tokenizer = load(bpe());
    expect(texts(tokenizer, "the the")).toEqual(["t", "he", "Ġthe"]);
    expect(tokenizer.tokenBytes(BPE_TOKENS.indexOf("Ġthe"))).toEqual(new Uint8Array(Buffer.from(" the")));
    expect(tokenizer.tokenBytes(BYTE_CHARACTERS.length - 1)).toEqual(Uint8Array.of(255));
    expect([...tokenizer.tokenBytes(BPE_TOKENS.length), ...tokenizer.tokenBytes(-1)]).toEqual([]);
    expect(tokenizer.vocabSize).toBe(BPE_TOKENS.length);
  });

  test("makes no token of text that only looks like a filler, unless the family takes whole words", () => {
    expect(texts(load(bpe()), "AB")).toEqual(["A", "B"]);
    expect(texts(load(bpe({ "tokenizer.ggml.pre": "llama-bpe" })), "AB")).toEqual(["AB"]);
  });

  test("takes tokens that begin or end texts as special though their type is not said", () => {
    const tokenizer = load(bpe());
    const [end, turn] = [BPE_TOKENS.length - 2, BPE_TOKENS.length - 1];
    expect([tokenizer.isSpecial(end), tokenizer.isSpecial(turn), tokenizer.isSpecial(0)]).toEqual([
      true,
      true,
      false,
    ]);
    expect(tokenizerFromGguf("f", bpe()).endTokens).toEqual([end, turn]);
  });

  // What each family makes of the same text, worked out from its published pattern.
  test.each([
    ["gpt-2", ["1234", "5"]],
    ["default", ["1234", "5"]],
    ["qwen2", ["1", "2", "3", "4", "5"]],
    ["smollm", ["1", "2", "3", "4", "5"]],
    ["starcoder", ["1", "2", "3", "4", "5"]],
    ["llama-bpe", ["123", "4", "5"]],
    ["deepseek-v3", ["123", "4", "5"]],
    ["deepseek-coder", ["1", "2", "3", "4", "5"]],
    ["tekken", ["1", "2", "3", "4", "5"]],
  ])("cuts numbers as %s does", (pre, expected) => {
    expect(texts(load(bpe({ "tokenizer.ggml.pre": pre })), "12345")).toEqual(expected);
  });

  test.each([
    "gpt-2",
    "qwen2",
    "smollm",
    "llama-bpe",
    "deepseek-v3",
    "deepseek-coder",
    "deepseek-r1-qwen",
    "tekken",
  ])("loses nothing of a text when cut as %s does", (pre) => {
    const tokenizer = load(bpe({ "tokenizer.ggml.pre": pre }));
    const text =
      "  It's THE caf\u00e9's 12,345.67€…\r\n\n\tif (x) { y += 1; } 世界、カタカナ 한국어 \ud83d\ude00!? \n";
    expect(tokenizer.decode(tokenizer.encode(text, { addSpecial: false }))).toBe(text);
  });

  test("is put into composed form for qwen2, as its own tokenizer does", () => {
    const composed = texts(load(bpe({ "tokenizer.ggml.pre": "qwen2" })), "e\u0301");
    expect(composed).toEqual(texts(load(bpe()), "\u00e9"));
    expect(texts(load(bpe()), "e\u0301")).not.toEqual(composed);
  });

  test("takes a chat template along", () => {
    const tokenizer = load(
      bpe({ "tokenizer.chat_template": "{{ messages[0]['content'] }}{{ eos_token }}!" }),
    );
    const messages = [{ role: "user", content: "hi" }];
    expect(tokenizer.renderChat(messages, { addGenerationPrompt: false })).toBe("hi<|endoftext|>!");
  });
});

describe("a wrong tokenizer", () => {
  test.each<[string, Metadata, RegExp]>([
    ["no kind", { "general.architecture": "llama" }, /tokenizer\.ggml\.model: the file holds no tokenizer/],
    [
      "an unknown kind",
      spm({ "tokenizer.ggml.model": "t5" }),
      /tokenizer\.ggml\.model: "t5" is not supported; supported/,
    ],
    [
      "a kind that is a number",
      spm({ "tokenizer.ggml.model": 3 }),
      /tokenizer\.ggml\.model: number is not supported/,
    ],
    ["no tokens", spm({ "tokenizer.ggml.tokens": [] }), /tokenizer\.ggml\.tokens: must be a list of texts/],
    [
      "tokens that are numbers",
      spm({ "tokenizer.ggml.tokens": [1] }),
      /tokenizer\.ggml\.tokens: must be a list of texts/,
    ],
    [
      "a million tokens",
      spm({ "tokenizer.ggml.tokens": new Array(1_000_000).fill("a") }),
      /tokens: holds 1000000 tokens; the most read are 524288/,
    ],
    [
      "too few types",
      spm({ "tokenizer.ggml.token_type": Int32Array.of(1) }),
      /token_type: must be 11 32-bit integers/,
    ],
    ["no scores", spm({ "tokenizer.ggml.scores": undefined }), /tokenizer\.ggml\.scores: must be 11 numbers/],
    [
      "a score that is none",
      spm({ "tokenizer.ggml.scores": new Float32Array(11).fill(Number.NaN) }),
      /scores: must be 11/,
    ],
    [
      "an end token beyond",
      spm({ "tokenizer.ggml.eos_token_id": 11 }),
      /eos_token_id: 11 is not a token; the vocabulary has 11/,
    ],
    [
      "a flag that is none",
      spm({ "tokenizer.ggml.add_bos_token": "yes" }),
      /add_bos_token: must be true or false/,
    ],
    [
      "a template that is none",
      spm({ "tokenizer.chat_template": 1 }),
      /tokenizer\.chat_template: must be a text/,
    ],
    [
      "an unknown cut",
      bpe({ "tokenizer.ggml.pre": "nobody" }),
      /tokenizer\.ggml\.pre: "nobody" is not supported; supported: default, gpt-2/,
    ],
    [
      "no merges",
      bpe({ "tokenizer.ggml.merges": undefined }),
      /tokenizer\.ggml\.merges: must be a list of texts/,
    ],
    [
      "a merge of one part",
      bpe({ "tokenizer.ggml.merges": ["a b", "ab"] }),
      /merges\[1\]: "ab" is not two parts/,
    ],
  ])("with %s is refused by key", (_, metadata, message) => {
    expect(() => tokenizerFromGguf("file.gguf", metadata)).toThrow(message);
  });

  test("whose texts are megabytes long is refused at once", () => {
    const tokens = ["<unk>", "a".repeat(50_000)];
    const metadata = spm({
      "tokenizer.ggml.tokens": tokens,
      "tokenizer.ggml.scores": new Float32Array(2),
      "tokenizer.ggml.token_type": undefined,
    });
    const start = performance.now();
    expect(() => tokenizerFromGguf("file.gguf", metadata)).toThrow(/tokenizer\.ggml\.tokens: are too long/);
    expect(performance.now() - start).toBeLessThan(1000);
  });

  test("with a token named like an object's own parts is one like any other", () => {
    const tokens = [...SPM_TOKENS, "__proto__", "constructor"];
    const tokenizer = load(
      spm({
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": new Float32Array(tokens.length),
        "tokenizer.ggml.token_type": undefined,
      }),
    );
    expect(tokenizer.tokenText(11)).toBe("__proto__");
    expect(tokenizer.idOf("constructor")).toBe(12);
  });
});
