/**
 * Every id's text and bytes, read from tokenizer.json without running it.
 *
 * A streamed answer is put together from bytes, one token at a time: a token may hold half a character, so text per
 * token would lose it.
 */

import { isRecord, type Json } from "../formats/json-file.ts";
import { ModelFileError } from "../source.ts";
import { byteLevelBytes } from "./byte-level.ts";

/** How tokens spell bytes: one character a byte, or text with ▁ for space and <0xXX> for single bytes. */
type Spelling = "byteLevel" | "spaceMark";

export interface TokenTable {
  /** One more than the largest id; a model may have more rows than this, and fewer tokens. */
  readonly size: number;
  readonly textOf: (id: number) => string | undefined;
  readonly idOf: (text: string) => number | undefined;
  /** Empty for ids without a token. The array is shared: do not write to it. */
  readonly bytesOf: (id: number) => Uint8Array;
  readonly isSpecial: (id: number) => boolean;
  /** The first token of a text carries a space that the text does not have. */
  readonly stripsFirstSpace: boolean;
}

const ID_MAX = 2 ** 22;
const FILE = "tokenizer.json";
const EMPTY = new Uint8Array(0);
const BYTE_TOKEN = /^<0x([0-9A-Fa-f]{2})>$/;

export function tokenTable(tokenizerJson: Json): TokenTable {
  const decoders = decoderChain(tokenizerJson["decoder"]);
  const spelling = spellingOf(decoders);
  const { texts, ids } = vocabularyOf(tokenizerJson);
  const added = new Set<number>();
  const special = new Set<number>();
  for (const token of addedTokensOf(tokenizerJson)) {
    texts[token.id] = token.content;
    ids.set(token.content, token.id);
    added.add(token.id);
    if (token.special) special.add(token.id);
  }
  const cache: (Uint8Array | undefined)[] = [];
  const spell = (id: number): Uint8Array => {
    const text = texts[id];
    return text === undefined ? EMPTY : tokenBytes(text, spelling, added.has(id));
  };
  return {
    size: texts.length,
    textOf: (id) => texts[id],
    idOf: (text) => ids.get(text),
    bytesOf: (id) => {
      if (!(id >= 0 && id < texts.length)) return EMPTY;
      cache[id] ??= spell(id);
      return cache[id];
    },
    isSpecial: (id) => special.has(id),
    stripsFirstSpace: decoders.some(stripsFirstSpace),
  };
}

function tokenBytes(text: string, spelling: Spelling, isAdded: boolean): Uint8Array {
  if (spelling === "byteLevel")
    return (isAdded ? undefined : byteLevelBytes(text)) ?? Buffer.from(text, "utf8");
  const byte = BYTE_TOKEN.exec(text)?.[1];
  if (byte !== undefined && !isAdded) return Uint8Array.of(Number.parseInt(byte, 16));
  return Buffer.from(text.replaceAll("▁", " "), "utf8");
}

/** The decoders in order, sequences taken apart. */
function decoderChain(decoder: unknown): readonly Json[] {
  if (!isRecord(decoder)) return [];
  const inner = decoder["decoders"];
  return Array.isArray(inner) ? inner.flatMap((one) => decoderChain(one)) : [decoder];
}

function spellingOf(decoders: readonly Json[]): Spelling {
  const types = decoders.map((decoder) => decoder["type"]);
  if (types.includes("ByteLevel")) return "byteLevel";
  const replacesMark = decoders.some(
    ({ type, pattern }) => type === "Replace" && isRecord(pattern) && pattern["String"] === "▁",
  );
  if (replacesMark || types.includes("Metaspace")) return "spaceMark";
  const found = types.length === 0 ? "none" : types.join(", ");
  throw new ModelFileError(FILE, "decoder", `found ${found}; supported: ByteLevel, Metaspace, Replace of ▁`);
}

function stripsFirstSpace(decoder: Json): boolean {
  if (decoder["type"] === "Strip") return decoder["content"] === " " && Number(decoder["start"]) > 0;
  if (decoder["type"] !== "Metaspace") return false;
  return decoder["prepend_scheme"] === undefined
    ? decoder["add_prefix_space"] !== false
    : decoder["prepend_scheme"] !== "never";
}

function vocabularyOf(tokenizerJson: Json): { texts: (string | undefined)[]; ids: Map<string, number> } {
  const model = tokenizerJson["model"];
  if (!isRecord(model)) throw new ModelFileError(FILE, "model", "is missing");
  const type = model["type"] ?? ("merges" in model ? "BPE" : undefined);
  if (type !== "BPE")
    throw new ModelFileError(FILE, "model.type", `${String(type)} is not supported; supported: BPE`);
  const vocabulary = model["vocab"];
  if (!isRecord(vocabulary)) throw new ModelFileError(FILE, "model.vocab", "must map texts to ids");
  const ids = new Map<string, number>();
  const texts: (string | undefined)[] = [];
  for (const [text, id] of Object.entries(vocabulary)) {
    if (!isId(id)) throw new ModelFileError(FILE, "model.vocab", "holds an id that is none");
    ids.set(text, id);
    texts[id] = text;
  }
  return { texts, ids };
}

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

function addedTokensOf(tokenizerJson: Json): readonly AddedToken[] {
  const added = tokenizerJson["added_tokens"] ?? [];
  if (!Array.isArray(added)) throw new ModelFileError(FILE, "added_tokens", "must be a list");
  return added.map((token, index) => {
    if (!isRecord(token) || !isId(token["id"]) || typeof token["content"] !== "string") {
      throw new ModelFileError(FILE, `added_tokens[${index}]`, "must have an id and a content");
    }
    return { id: token["id"], content: token["content"], special: token["special"] === true };
  });
}

const isId = (id: unknown): id is number =>
  Number.isInteger(id) && (id as number) >= 0 && (id as number) < ID_MAX;
