/** The tokenizer inside GGUF metadata, brought into the form that Transformers.js reads. */

import { quoted } from "../formats/file-cursor.ts";
import { ModelFileError, type TokenizerFiles } from "../source.ts";
import { END_OF_TURN_NAMES } from "./end-tokens.ts";
import { PRE_TOKENIZER_NAMES, type PreTokenizer, preTokenizer } from "./pre-tokenizers.ts";
import { scoredMerges } from "./sentencepiece.ts";

type Metadata = Readonly<Record<string, unknown>>;

/** `tokenizer.ggml.token_type` (source: `llama_token_type` in llama.h). */
const TYPE = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** "No such token" as some writers put it: -1 in 32 bits. */
const NO_TOKEN = 0xffffffff;

/** Twice the largest vocabulary in use. */
const TOKENS_MAX = 2 ** 19;

export interface GgufTokenizer {
  readonly files: TokenizerFiles;
  readonly bosToken: number | undefined;
  /** The file's own end token, its end of turn, and control tokens that are known to end a turn. */
  readonly endTokens: readonly number[];
}

interface Vocabulary {
  readonly path: string;
  readonly metadata: Metadata;
  readonly tokens: readonly string[];
  readonly typeOf: (id: number) => number;
}

/** `path`: for messages. Throws ModelFileError naming the metadata key. */
export function tokenizerFromGguf(path: string, metadata: Metadata): GgufTokenizer {
  const model = metadata["tokenizer.ggml.model"];
  if (model === undefined)
    throw new ModelFileError(path, "tokenizer.ggml.model", "the file holds no tokenizer");
  if (model !== "llama" && model !== "gpt2") {
    const name = typeof model === "string" ? quoted(model) : typeof model;
    throw new ModelFileError(
      path,
      "tokenizer.ggml.model",
      `${name} is not supported; supported: "llama", "gpt2"`,
    );
  }
  const vocabulary = readVocabulary(path, metadata);
  return model === "llama" ? sentencePiece(vocabulary) : byteLevelBpe(vocabulary);
}

function readVocabulary(path: string, metadata: Metadata): Vocabulary {
  const tokens = metadata["tokenizer.ggml.tokens"];
  if (!isTexts(tokens) || tokens.length === 0) {
    throw new ModelFileError(path, "tokenizer.ggml.tokens", "must be a list of texts");
  }
  if (tokens.length > TOKENS_MAX) {
    const problem = `holds ${tokens.length} tokens; the most read are ${TOKENS_MAX}`;
    throw new ModelFileError(path, "tokenizer.ggml.tokens", problem);
  }
  const types = metadata["tokenizer.ggml.token_type"];
  if (types === undefined) return { path, metadata, tokens, typeOf: () => TYPE.normal };
  if (!(types instanceof Int32Array || types instanceof Uint32Array) || types.length !== tokens.length) {
    throw new ModelFileError(path, "tokenizer.ggml.token_type", `must be ${tokens.length} 32-bit integers`);
  }
  return { path, metadata, tokens, typeOf: (id) => types[id] as number };
}

const isTexts = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((item) => typeof item === "string");

/** The id under `key`, or undefined where there is none. */
function tokenUnder(vocabulary: Vocabulary, key: string): number | undefined {
  const id = vocabulary.metadata[key];
  if (id === undefined || id === NO_TOKEN || id === -1) return undefined;
  if (typeof id === "number" && Number.isInteger(id) && id >= 0 && id < vocabulary.tokens.length) return id;
  const size = vocabulary.tokens.length;
  throw new ModelFileError(vocabulary.path, key, `${id} is not a token; the vocabulary has ${size}`);
}

function flagUnder(vocabulary: Vocabulary, key: string, absent: boolean): boolean {
  const flag = vocabulary.metadata[key] ?? absent;
  if (typeof flag !== "boolean") throw new ModelFileError(vocabulary.path, key, "must be true or false");
  return flag;
}

interface Specials {
  readonly bos: number | undefined;
  readonly eos: number | undefined;
  readonly unknown: number | undefined;
  readonly addsBos: boolean;
  readonly addsEos: boolean;
}

function sentencePiece(vocabulary: Vocabulary): GgufTokenizer {
  const { path, metadata, tokens, typeOf } = vocabulary;
  const scores = metadata["tokenizer.ggml.scores"];
  if (!(scores instanceof Float32Array) || scores.length !== tokens.length || scores.some(Number.isNaN)) {
    throw new ModelFileError(path, "tokenizer.ggml.scores", `must be ${tokens.length} numbers`);
  }
  const ids = firstIds(tokens);
  const isPiece = (id: number): boolean => typeOf(id) === TYPE.normal || typeOf(id) === TYPE.userDefined;
  const pieces = [...ids]
    .filter(([, id]) => isPiece(id))
    .map(([text, id]) => ({ text, score: scores[id] as number }));
  const scored = scoredMerges(pieces);
  if (scored === undefined)
    throw new ModelFileError(path, "tokenizer.ggml.tokens", "are too long to be a vocabulary");
  const atMost = (id: number): number | undefined => (id < tokens.length ? id : undefined);
  const specials: Specials = {
    bos:
      "tokenizer.ggml.bos_token_id" in metadata
        ? tokenUnder(vocabulary, "tokenizer.ggml.bos_token_id")
        : atMost(1),
    eos:
      "tokenizer.ggml.eos_token_id" in metadata
        ? tokenUnder(vocabulary, "tokenizer.ggml.eos_token_id")
        : atMost(2),
    unknown: tokenUnder(vocabulary, "tokenizer.ggml.unknown_token_id") ?? 0,
    addsBos: flagUnder(vocabulary, "tokenizer.ggml.add_bos_token", true),
    addsEos: flagUnder(vocabulary, "tokenizer.ggml.add_eos_token", false),
  };
  const hasPrefix = flagUnder(vocabulary, "tokenizer.ggml.add_space_prefix", true);
  const toSpaceMark = { type: "Replace", pattern: { String: " " }, content: "▁" };
  const decoders: Record<string, unknown>[] = [
    { type: "Replace", pattern: { String: "▁" }, content: " " },
    { type: "ByteFallback" },
    { type: "Fuse" },
  ];
  if (hasPrefix) decoders.push({ type: "Strip", content: " ", start: 1, stop: 0 });
  return finish(vocabulary, specials, {
    normalizer: hasPrefix
      ? { type: "Sequence", normalizers: [{ type: "Prepend", prepend: "▁" }, toSpaceMark] }
      : toSpaceMark,
    pre_tokenizer: null,
    decoder: { type: "Sequence", decoders },
    model: {
      type: "BPE",
      unk_token: tokens[specials.unknown ?? 0] ?? null,
      fuse_unk: true,
      byte_fallback: ids.has("<0x00>"),
      ignore_merges: false,
      vocab: Object.fromEntries(ids),
      merges: scored.merges,
      merge_ranks: scored.ranks,
    },
  });
}

function byteLevelBpe(vocabulary: Vocabulary): GgufTokenizer {
  const { path, metadata, tokens } = vocabulary;
  const cut = preTokenizerOf(path, metadata);
  const merges = metadata["tokenizer.ggml.merges"];
  if (!isTexts(merges)) throw new ModelFileError(path, "tokenizer.ggml.merges", "must be a list of texts");
  const pairs = merges.map((merge, index) => {
    const space = merge.indexOf(" ", 1);
    if (space > 0 && space < merge.length - 1) return [merge.slice(0, space), merge.slice(space + 1)];
    throw new ModelFileError(
      path,
      `tokenizer.ggml.merges[${index}]`,
      `${quoted(merge)} is not two parts and a space`,
    );
  });
  const specials: Specials = {
    bos: tokenUnder(vocabulary, "tokenizer.ggml.bos_token_id"),
    eos: tokenUnder(vocabulary, "tokenizer.ggml.eos_token_id"),
    unknown: tokenUnder(vocabulary, "tokenizer.ggml.unknown_token_id"),
    addsBos: flagUnder(vocabulary, "tokenizer.ggml.add_bos_token", cut.addsBos),
    addsEos: flagUnder(vocabulary, "tokenizer.ggml.add_eos_token", false),
  };
  return finish(vocabulary, specials, {
    normalizer: cut.normalizer,
    pre_tokenizer: cut.preTokenizer,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      unk_token: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: cut.ignoresMerges,
      vocab: Object.fromEntries(firstIds(tokens)),
      merges: pairs,
    },
  });
}

function preTokenizerOf(path: string, metadata: Metadata): PreTokenizer {
  const name = metadata["tokenizer.ggml.pre"] ?? "default";
  const cut = typeof name === "string" ? preTokenizer(name) : undefined;
  if (cut !== undefined) return cut;
  const shown = typeof name === "string" ? quoted(name) : typeof name;
  const known = PRE_TOKENIZER_NAMES.join(", ");
  throw new ModelFileError(path, "tokenizer.ggml.pre", `${shown} is not supported; supported: ${known}`);
}

/** A text that stands twice keeps its first id, as a look-up by text finds it. */
function firstIds(tokens: readonly string[]): Map<string, number> {
  const ids = new Map<string, number>();
  for (const [id, text] of tokens.entries()) if (!ids.has(text)) ids.set(text, id);
  return ids;
}

function finish(vocabulary: Vocabulary, specials: Specials, parts: Record<string, unknown>): GgufTokenizer {
  const { metadata, tokens } = vocabulary;
  const text = (id: number | undefined): string | null => (id === undefined ? null : (tokens[id] ?? null));
  const before = specials.addsBos && specials.bos !== undefined ? [specials.bos] : [];
  const after = specials.addsEos && specials.eos !== undefined ? [specials.eos] : [];
  const template = metadata["tokenizer.chat_template"];
  if (template !== undefined && typeof template !== "string") {
    throw new ModelFileError(vocabulary.path, "tokenizer.chat_template", "must be a text");
  }
  const files: TokenizerFiles = {
    tokenizerJson: {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: addedTokens(vocabulary, specials),
      post_processor: surround(tokens, before, after),
      ...parts,
    },
    tokenizerConfig: {
      tokenizer_class: "PreTrainedTokenizerFast",
      bos_token: text(specials.bos),
      eos_token: text(specials.eos),
      unk_token: text(specials.unknown),
      add_bos_token: before.length > 0,
      add_eos_token: after.length > 0,
      clean_up_tokenization_spaces: false,
      ...(template === undefined ? {} : { chat_template: template }),
    },
  };
  return { files, bosToken: specials.bos, endTokens: endTokens(vocabulary, specials) };
}

/** Tokens that are found in text as they are, before any merging. */
function addedTokens(vocabulary: Vocabulary, specials: Specials): Record<string, unknown>[] {
  const added: Record<string, unknown>[] = [];
  for (const [id, content] of vocabulary.tokens.entries()) {
    const isSpecial = isSpecialToken(vocabulary, specials, id);
    if (content === "" || (!isSpecial && vocabulary.typeOf(id) !== TYPE.userDefined)) continue;
    const how = { single_word: false, lstrip: false, rstrip: false, normalized: false };
    added.push({ id, content, ...how, special: isSpecial });
  }
  return added;
}

/** Some writers mark no token as control; those that begin and end texts and turns are so all the same. */
function isSpecialToken(vocabulary: Vocabulary, specials: Specials, id: number): boolean {
  const type = vocabulary.typeOf(id);
  if (type === TYPE.control || type === TYPE.unknown) return true;
  const text = vocabulary.tokens[id] as string;
  const looksLikeOne = text.startsWith("<") && text.endsWith(">");
  return looksLikeOne && (id === specials.bos || id === specials.eos || END_OF_TURN_NAMES.has(text));
}

function endTokens(vocabulary: Vocabulary, specials: Specials): readonly number[] {
  const ends = new Set<number>();
  if (specials.eos !== undefined) ends.add(specials.eos);
  for (const key of ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"]) {
    const id = tokenUnder(vocabulary, key);
    if (id !== undefined) ends.add(id);
  }
  for (const [id, text] of vocabulary.tokens.entries()) {
    if (END_OF_TURN_NAMES.has(text) && isSpecialToken(vocabulary, specials, id)) ends.add(id);
  }
  return [...ends].sort((a, b) => a - b);
}

/** The tokens put before and after every text, as a post-processor; null where there are none. */
function surround(
  tokens: readonly string[],
  before: number[],
  after: number[],
): Record<string, unknown> | null {
  if (before.length + after.length === 0) return null;
  const special = (id: number, typeId: number) => ({ SpecialToken: { id: tokens[id], type_id: typeId } });
  const one = (sequence: string, typeId: number) => [
    ...before.map((id) => special(id, typeId)),
    { Sequence: { id: sequence, type_id: typeId } },
    ...after.map((id) => special(id, typeId)),
  ];
  const used = [...before, ...after].map((id) => [
    tokens[id],
    { id: tokens[id], ids: [id], tokens: [tokens[id]] },
  ]);
  return {
    type: "TemplateProcessing",
    single: one("A", 0),
    pair: [...one("A", 0), ...one("B", 1)],
    special_tokens: Object.fromEntries(used),
  };
}
