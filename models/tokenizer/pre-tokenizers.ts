/**
 * How byte-level tokenizers cut text into words before merging, by GGUF's `tokenizer.ggml.pre`.
 *
 * The patterns are facts of the published tokenizers (their tokenizer.json); the names are those of llama.cpp's
 * converter (`llm_load_vocab` in src/llama-vocab.cpp). A name that is not here is refused: a wrong cut gives wrong ids
 * for right-looking text.
 */

export interface PreTokenizer {
  /** In Transformers.js form. */
  readonly normalizer: Readonly<Record<string, unknown>> | null;
  readonly preTokenizer: Readonly<Record<string, unknown>>;
  /** A word that is a token as a whole is taken so, even where no merges lead to it. */
  readonly ignoresMerges: boolean;
  /** Where the file does not say. */
  readonly addsBos: boolean;
}

const split = (pattern: string): Record<string, unknown> => ({
  type: "Split",
  pattern: { Regex: pattern },
  behavior: "Isolated",
  invert: false,
});

const byteLevel = (usesGpt2Pattern: boolean): Record<string, unknown> => ({
  type: "ByteLevel",
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: usesGpt2Pattern,
});

const sequence = (...pretokenizers: Record<string, unknown>[]): Record<string, unknown> => ({
  type: "Sequence",
  pretokenizers,
});

const plain = (preTokenizer: Record<string, unknown>): PreTokenizer => ({
  normalizer: null,
  preTokenizer,
  ignoresMerges: false,
  addsBos: false,
});

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
/** Words, numbers of up to `digits` digits, runs of signs, line ends, white space. */
const modern = (digits: string): string =>
  `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*` +
  "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const UPPER = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]";
const LOWER = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
const TEKKEN =
  `[^\\r\\n\\p{L}\\p{N}]?${UPPER}*${LOWER}+|[^\\r\\n\\p{L}\\p{N}]?${UPPER}+${LOWER}*|\\p{N}` +
  "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const DEEPSEEK_V3_WORDS =
  "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+" +
  "| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const CJK_AND_KANA = "[一-龥\\u3040-ゟ゠-ヿ]+";
const CJK_AND_HANGUL = "[一-龥ࠀ-一가-\\ud7ff]+";

const gpt2 = plain(byteLevel(true));
const digitsApart = plain(sequence({ type: "Digits", individual_digits: true }, byteLevel(true)));
const llama3: PreTokenizer = {
  ...plain(sequence(split(modern("{1,3}")), byteLevel(false))),
  ignoresMerges: true,
  addsBos: true,
};
const qwen2: PreTokenizer = {
  ...plain(sequence(split(modern("")), byteLevel(false))),
  normalizer: { type: "NFC" },
};
const deepseekV3 = plain(
  sequence(split("\\p{N}{1,3}"), split(CJK_AND_KANA), split(DEEPSEEK_V3_WORDS), byteLevel(false)),
);
const deepseekCoder = plain(
  sequence(
    ...["[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", CJK_AND_HANGUL].map(split),
    { type: "Digits", individual_digits: true },
    byteLevel(false),
  ),
);
const tekken: PreTokenizer = {
  ...plain(sequence(split(TEKKEN), byteLevel(false))),
  ignoresMerges: true,
  addsBos: true,
};

const BY_NAME: ReadonlyMap<string, PreTokenizer> = new Map([
  // Files from before the key existed say nothing or "default"; GPT-2's cut is what this kind is named after.
  ["default", gpt2],
  ["gpt-2", gpt2],
  ["smollm", digitsApart],
  ["starcoder", digitsApart],
  ["llama-bpe", llama3],
  ["llama3", llama3],
  ["llama-v3", llama3],
  ["qwen2", qwen2],
  ["deepseek-r1-qwen", { ...qwen2, normalizer: null }],
  ["deepseek-v3", deepseekV3],
  ["deepseek-coder", deepseekCoder],
  ["tekken", tekken],
]);

export const preTokenizer = (name: string): PreTokenizer | undefined => BY_NAME.get(name);

export const PRE_TOKENIZER_NAMES: readonly string[] = [...BY_NAME.keys()];
