import { describe, expect, test } from "vitest";
import { tokenId } from "../../../engine/core/brand.ts";
import { promptOffsets } from "../../../engine/local/prompt-offsets.ts";

const utf8 = new TextEncoder();
const SPECIAL = ["<s>", "<|user|>"];

/** Offsets for tokens given as their text or bytes. */
function offsets(text: string, tokens: readonly (string | readonly number[])[], stripsFirstSpace = false) {
  const bytes = tokens.map((each) => (typeof each === "string" ? utf8.encode(each) : Uint8Array.from(each)));
  return promptOffsets(
    text,
    tokens.map((_, index) => tokenId(index)),
    {
      tokenBytes: (token) => bytes[token] as Uint8Array,
      isSpecial: (token) => SPECIAL.includes(String(tokens[token])),
      stripsFirstSpace,
    },
  );
}

describe("where a prompt's tokens stand in its text", () => {
  test("counts characters, not UTF-16 units, and puts parts of one at its beginning", () => {
    expect(offsets("a😀b", ["a", [0xf0, 0x9f], [0x98, 0x80], "b"])).toEqual([0, 1, 1, 2]);
  });

  test("gives no room to a token that the tokenizer put in front, and room to one that the client wrote", () => {
    expect(offsets("hi you", ["<s>", "hi", " you"])).toEqual([0, 0, 2]);
    expect(offsets("<|user|>hi", ["<s>", "<|user|>", "hi"])).toEqual([0, 0, 8]);
  });

  test("leaves out the space that SentencePiece writes in front of a text, and keeps the client's own", () => {
    expect(offsets("hi you", ["<s>", " hi", " you"], true)).toEqual([0, 0, 2]);
    expect(offsets(" hi", ["<s>", "  hi"], true)).toEqual([0, 0]);
  });

  test("never points past the end, where the tokens spell more than the text", () => {
    expect(offsets("ab", ["abc", "def", "g"])).toEqual([0, 2, 2]);
  });
});
