/** A tokenizer without a file: three special tokens, then one token a byte. Goes with the scripted lane. */
import { type TokenId, tokenId } from "../../engine/core/brand.ts";
import type { ModelCard } from "../../engine/core/model.ts";
import type { TextCodec } from "../../engine/local/text-codec.ts";

export const BEGIN = tokenId(0);
export const END = tokenId(1);
const SPECIAL = 3;
/** The token of byte b is BYTES + b. */
export const BYTES = SPECIAL;
export const VOCABULARY = BYTES + 256;

const NOTHING = new Uint8Array(0);
const bytesOf = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
const isSpecial = (token: number): boolean => token < SPECIAL;

export const tokensOf = (text: string): readonly TokenId[] =>
  [...Buffer.from(text, "utf8")].map((byte) => tokenId(BYTES + byte));

export const textOf = (tokens: readonly number[]): string =>
  Buffer.from(tokens.filter((token) => !isSpecial(token)).map((token) => token - BYTES)).toString("utf8");

export const byteCodec: TextCodec = {
  encode: (text, { addSpecial }) => (addSpecial ? [BEGIN, ...tokensOf(text)] : tokensOf(text)),
  decode: textOf,
  tokenBytes: (token) => (isSpecial(token) ? NOTHING : (bytesOf[token - BYTES] ?? NOTHING)),
  isSpecial,
  stripsFirstSpace: false,
  renderChat: (messages) => messages.map(({ role, content }) => `<${role}>${content}`).join(""),
};

export const byteCard: ModelCard = {
  name: "bytes",
  geometry: { layers: 1, hidden: 8, heads: 1, kvHeads: 1, headDim: 8, vocabSize: VOCABULARY },
  weights: "f32",
  kv: "f32",
  contextLength: 64,
  bosToken: BEGIN,
  endTokens: [END],
  createdAt: 0,
  hasChatTemplate: true,
  weightBytes: 1,
};
