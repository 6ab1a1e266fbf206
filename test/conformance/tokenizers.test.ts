/** Real tokenizers give the expected ids, in both forms that models come in, and llama.cpp agrees on the made-up ones. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { getLlama, LlamaLogLevel } from "node-llama-cpp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openModelSource } from "../../models/open.ts";
import type { TokenizerFiles } from "../../models/source.ts";
import { tokenizerFromDirectory } from "../../models/tokenizer/from-directory.ts";
import { loadTokenizer, type Tokenizer } from "../../models/tokenizer/load.ts";
import { makeRandomModel, type ShapeName } from "../../scripts/make-random-model.ts";
import { modelFolder } from "../support/gguf-folder.ts";
import { hasShared, named, shared } from "../support/shared-data.ts";

const present = hasShared("tokenizers");
const hasStories = hasShared("models", "stories260K");

const json = (...parts: string[]): Record<string, unknown> =>
  JSON.parse(readFileSync(shared(...parts), "utf8"));
const fromDirectory = (...parts: string[]): TokenizerFiles =>
  tokenizerFromDirectory(shared(...parts), {}).files;
function fromGguf(...parts: string[]): TokenizerFiles {
  const source = openModelSource(shared(...parts));
  source.store.close();
  return source.tokenizer;
}

interface Vector {
  readonly text: string;
  readonly ids: readonly number[];
}

/** 47 texts with their ids, without special tokens. */
function vectors(name: string): readonly Vector[] {
  const texts = readFileSync(shared("tokenizers", "vectors", `${name}.inp`), "utf8").split(
    "\n__ggml_vocab_test__\n",
  );
  const lines = readFileSync(shared("tokenizers", "vectors", `${name}.out`), "utf8").split("\n");
  expect(texts).toHaveLength(47);
  return texts.map((text, index) => ({
    text,
    ids: (lines[index] ?? "").split(" ").filter(Boolean).map(Number),
  }));
}

const encodes = (tokenizer: Tokenizer, { text, ids }: Vector): boolean =>
  JSON.stringify(tokenizer.encode(text, { addSpecial: false })) === JSON.stringify(ids);

describe("vectors", () => {
  test.skipIf(!present).each([
    ["qwen2.5", "tokenizer.json", () => fromDirectory("tokenizers", "qwen2.5")],
    ["gpt2", "tokenizer.json", () => fromDirectory("tokenizers", "gpt2")],
    ["phi3", "tokenizer.json", () => fromDirectory("tokenizers", "phi3")],
    ["gpt2", "gpt-2.gguf", () => fromGguf("tokenizers", "gguf-vocab", "gpt-2.gguf")],
    ["phi3", "phi-3.gguf", () => fromGguf("tokenizers", "gguf-vocab", "phi-3.gguf")],
    // The same SentencePiece vocabulary; here the GGUF follows SentencePiece where TinyLlama's tokenizer.json does not.
    ["tinyllama", "phi-3.gguf", () => fromGguf("tokenizers", "gguf-vocab", "phi-3.gguf")],
  ])(named("of %s: %s gives all 47, and every text back", present), (name, _, files) => {
    const tokenizer = loadTokenizer(files());
    const all = vectors(name);
    expect(all.filter((vector) => !encodes(tokenizer, vector)).map(({ text }) => text)).toEqual([]);
    for (const { text, ids } of all) expect(tokenizer.decode(ids)).toBe(text);
  });

  test.skipIf(!present)(
    named("of tinyllama: tokenizer.json gives all but the 15 that start with white space", present),
    () => {
      // Metaspace with prepend_scheme "first" adds no space where the text brings one; SentencePiece always adds one.
      const tokenizer = loadTokenizer(fromDirectory("tokenizers", "tinyllama"));
      const wrong = vectors("tinyllama").filter((vector) => !encodes(tokenizer, vector));
      expect(wrong).toHaveLength(15);
      expect(wrong.filter(({ text }) => !/^\s/.test(text))).toEqual([]);
      for (const { text } of wrong) {
        expect(tokenizer.decode(tokenizer.encode(` ${text}`, { addSpecial: false }))).toBe(text);
      }
    },
  );

  test.skipIf(!present)(named("of gpt2: a French text gives its published tokens", present), () => {
    const { text, bpe_tokens: published } = json("tokenizers", "gpt2", "encoded_example.json") as {
      text: string;
      bpe_tokens: string[];
    };
    const tokenizer = loadTokenizer(fromGguf("tokenizers", "gguf-vocab", "gpt-2.gguf"));
    expect(tokenizer.encode(text, { addSpecial: false }).map(tokenizer.tokenText)).toEqual(published);
  });
});

describe("tokenizer.json and GGUF of the same vocabulary", () => {
  test.skipIf(!present)(named("spell the same bytes for every id", present), () => {
    const pairs = [
      [fromDirectory("tokenizers", "gpt2"), fromGguf("tokenizers", "gguf-vocab", "gpt-2.gguf")],
      [fromDirectory("tokenizers", "phi3"), fromGguf("tokenizers", "gguf-vocab", "phi-3.gguf")],
    ] as const;
    for (const [left, right] of pairs.map((pair) => pair.map(loadTokenizer))) {
      if (left === undefined || right === undefined) throw new Error("a pair has two");
      const size = Math.min(left.vocabSize, right.vocabSize);
      const ids = Array.from({ length: size }, (_, id) => id);
      expect(ids.filter((id) => Buffer.compare(left.tokenBytes(id), right.tokenBytes(id)) !== 0)).toEqual([]);
      expect(ids.filter((id) => left.isSpecial(id) && !right.isSpecial(id))).toEqual([]);
    }
  });
});

describe("stories260K", () => {
  const folder = ["models", "stories260K"];

  test.skipIf(!hasStories).each([
    ["the GGUF", () => fromGguf(...folder, "stories260K.gguf")],
    ["hf/", () => fromDirectory(...folder, "hf")],
  ])(named("%s: golden ids and golden text are each other's", hasStories), (_, files) => {
    const golden = json(...folder, "hf", "golden_greedy.json") as {
      greedy_ids: number[];
      greedy_text: string;
    };
    const tokenizer = loadTokenizer(files());
    expect(tokenizer.decode(golden.greedy_ids)).toBe(golden.greedy_text);
    expect(tokenizer.encode(golden.greedy_text, { addSpecial: true })).toEqual(golden.greedy_ids);
  });

  test.skipIf(!hasStories)(named("texts of the NLL golden come back whole, BOS in front", hasStories), () => {
    const golden = json(...folder, "hf", "golden_nll.json") as { texts: string[] };
    const tokenizer = loadTokenizer(fromGguf(...folder, "stories260K.gguf"));
    expect(golden.texts).toHaveLength(7);
    for (const text of golden.texts) {
      const ids = tokenizer.encode(text, { addSpecial: true });
      expect(ids[0]).toBe(1);
      expect(tokenizer.decode(ids)).toBe(text);
    }
  });
});

describe("llama.cpp", () => {
  const models = modelFolder();
  let llama: Awaited<ReturnType<typeof getLlama>>;
  beforeAll(async () => {
    llama = await getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.error, maxThreads: 1 });
  });
  afterAll(() => llama.dispose());

  const TEXTS = [
    "The quick brown fox's 12345 jumps\n\nover  the lazy dog.",
    "Ünï 世界 😀 <|im_end|> that in he<|im_start|>user\n",
    " leading, trailing \t\r\n ",
    "",
  ];

  test.skipIf(!hasStories)(
    named("cuts texts as we do with the vocabulary of stories260K", hasStories),
    async () => {
      const path = shared("models", "stories260K", "stories260K.gguf");
      const tokenizer = loadTokenizer(fromGguf("models", "stories260K", "stories260K.gguf"));
      const model = await llama.loadModel({ modelPath: path });
      const { texts } = json("models", "stories260K", "hf", "golden_nll.json") as { texts: string[] };
      for (const text of [...TEXTS, ...texts, "aaaaaaa    bbb  \n\n\n   the the", "\u2581 \u2581mark"]) {
        expect(tokenizer.encode(text, { addSpecial: false })).toEqual(model.tokenize(text, true));
      }
      await model.dispose();
    },
  );

  test.each<[ShapeName, string]>([
    ["tiny-llama", "F32"],
    ["tiny-qwen2", "Q8_0"],
    ["tiny-qwen3", "Q4_0"],
    ["smollm2-135m", "Q4_0"],
  ])("loads a random %s in %s, cuts texts as we do, and writes more than one token", async (shape, type) => {
    const out = join(models.path, `${shape}.gguf`);
    makeRandomModel({ shape, type: type as "F32" | "Q8_0" | "Q4_0", out, layers: 2 });
    const source = openModelSource(out);
    source.store.close();
    const tokenizer = loadTokenizer(source.tokenizer);
    const model = await llama.loadModel({ modelPath: out });
    for (const text of TEXTS)
      expect(tokenizer.encode(text, { addSpecial: true })).toEqual(model.tokenize(text, true));
    expect(source.endTokens).toContain(model.tokens.eos);
    const context = await model.createContext({ contextSize: 128, threads: 1 });
    const written: number[] = [];
    for await (const token of context
      .getSequence()
      .evaluate(model.tokenize("Once upon a time"), { temperature: 0, yieldEogToken: true })) {
      written.push(token);
      if (written.length === 24) break;
    }
    expect(new Set(written).size).toBeGreaterThan(4);
    await model.dispose();
  });
});
