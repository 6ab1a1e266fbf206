/** A tokenizer in use: Transformers.js cuts and merges, the token table gives back bytes. */
import { PreTrainedTokenizer } from "@xenova/transformers";
import { isRecord, type Json } from "../formats/json-file.ts";
import { ModelFileError, type TokenizerFiles } from "../source.ts";
import { tokenTable } from "./token-table.ts";

export interface Tokenizer {
  /** One more than the largest id. A model may have more rows: ids beyond have no bytes. */
  readonly vocabSize: number;
  /**
   * Special tokens in the text are found as such. `addSpecial`: put the tokens in front and behind that the tokenizer
   * wants around every text (BOS); off for text from a chat template, which writes them itself.
   */
  encode(text: string, options: { readonly addSpecial: boolean }): number[];
  /** The bytes that an id adds to a text; empty for ids without a token. Shared: do not write to it. */
  tokenBytes(id: number): Uint8Array;
  /** As it stands in the vocabulary, for messages and logprobs. */
  tokenText(id: number): string | undefined;
  idOf(text: string): number | undefined;
  /** Control tokens: not part of the text that a user reads. */
  isSpecial(id: number): boolean;
  /** The whole text at once, special tokens left out, broken characters replaced. */
  decode(ids: readonly number[]): string;
  /** A text's first token carries a space that the text does not have (SentencePiece); decode drops it. */
  readonly stripsFirstSpace: boolean;
  /** Jinja; the one named `default` where there are several. */
  readonly chatTemplate: string | undefined;
  /** Throws what the template throws. `variables`: further names that templates ask for, such as `tools`. */
  renderChat(
    messages: readonly Json[],
    options: { readonly addGenerationPrompt: boolean; readonly variables?: Json },
  ): string;
}

/** Throws ModelFileError naming the part of tokenizer.json that does not hold. */
export function loadTokenizer(files: TokenizerFiles): Tokenizer {
  const table = tokenTable(files.tokenizerJson);
  const inner = construct(files);
  shareRanks(inner, files.tokenizerJson);
  const template = defaultTemplate(files.tokenizerConfig["chat_template"]);
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  return {
    vocabSize: table.size,
    encode: (text, { addSpecial }) => inner.encode(text, { add_special_tokens: addSpecial }),
    tokenBytes: table.bytesOf,
    tokenText: table.textOf,
    idOf: table.idOf,
    isSpecial: table.isSpecial,
    decode: (ids) => {
      const text = decoder.decode(Buffer.concat(ids.filter((id) => !table.isSpecial(id)).map(table.bytesOf)));
      return table.stripsFirstSpace && text.startsWith(" ") ? text.slice(1) : text;
    },
    stripsFirstSpace: table.stripsFirstSpace,
    chatTemplate: template,
    renderChat: (messages, { addGenerationPrompt, variables }) => {
      if (template === undefined)
        throw new ModelFileError("tokenizer_config.json", "chat_template", "is missing");
      return inner.apply_chat_template([...messages] as never, {
        ...variables,
        chat_template: template,
        add_generation_prompt: addGenerationPrompt,
        tokenize: false,
      });
    },
  };
}

const STRUCTURE = ["normalizer", "pre_tokenizer", "post_processor", "decoder"] as const;

function construct(files: TokenizerFiles): PreTrainedTokenizer {
  const absent = Object.fromEntries(STRUCTURE.map((key) => [key, null]));
  const json = { ...absent, added_tokens: [], ...files.tokenizerJson, truncation: null, padding: null };
  try {
    return new PreTrainedTokenizer(json, plainConfig(files.tokenizerConfig));
  } catch (error) {
    throw new ModelFileError(
      "tokenizer.json",
      "tokenizer",
      `Transformers.js refuses it: ${(error as Error).message}`,
    );
  }
}

/** Special tokens may be written as objects with a `content`, which Transformers.js only takes with a type mark. */
function plainConfig(config: Json): Json {
  const plain = Object.entries(config).map(([key, value]) => {
    const isToken = key.endsWith("_token") && isRecord(value) && typeof value["content"] === "string";
    return [key, isToken ? value["content"] : value] as const;
  });
  return Object.fromEntries(plain);
}

/** Some files hold several templates by name, as a list. */
function defaultTemplate(template: unknown): string | undefined {
  if (typeof template === "string") return template;
  if (!Array.isArray(template)) return undefined;
  const named = template.filter(
    (item): item is Json => isRecord(item) && typeof item["template"] === "string",
  );
  const chosen = named.find((item) => item["name"] === "default") ?? named[0];
  return chosen?.["template"] as string | undefined;
}

/**
 * Merges of equal score share a rank (`merge_ranks`, sentencepiece.ts), which tokenizer.json cannot say and Transformers.js does
 * not read: its own ranks, the places in the list, are replaced.
 */
function shareRanks(tokenizer: PreTrainedTokenizer, tokenizerJson: Json): void {
  const model = tokenizerJson["model"];
  if (!isRecord(model) || model["merge_ranks"] === undefined) return;
  const { merges, merge_ranks: ranks } = model;
  if (!Array.isArray(merges) || !Array.isArray(ranks) || ranks.length !== merges.length) {
    throw new ModelFileError("tokenizer.json", "model.merge_ranks", "must be one number a merge");
  }
  const own = (tokenizer as unknown as { _tokenizer?: { model?: { bpe_ranks?: unknown } } })._tokenizer
    ?.model;
  if (!(own?.bpe_ranks instanceof Map))
    throw new TypeError("this version of Transformers.js keeps no bpe_ranks");
  for (const [index, pair] of merges.entries()) own.bpe_ranks.set(JSON.stringify(pair), ranks[index]);
}
