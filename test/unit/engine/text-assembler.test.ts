import { describe, expect, test } from "vitest";
import { type TokenId, tokenId } from "../../../engine/core/brand.ts";
import { Detokenizer, describeToken } from "../../../engine/local/detokenizer.ts";
import { StopStrings } from "../../../engine/local/stop-strings.ts";
import { TextAssembler } from "../../../engine/local/text-assembler.ts";

const utf8 = new TextEncoder();
/** Vocabulary by list: token i has the bytes of the i-th entry. */
const vocabulary = (...entries: readonly (string | readonly number[])[]) => {
  const bytes = entries.map((entry) =>
    typeof entry === "string" ? utf8.encode(entry) : Uint8Array.from(entry),
  );
  return (token: TokenId): Uint8Array => bytes[token] ?? new Uint8Array(0);
};
const ids = (...tokens: number[]): TokenId[] => tokens.map(tokenId);
const scored = (id: number) => ({
  token: tokenId(id),
  logprob: -1,
  top: [
    { token: tokenId(id), logprob: -1 },
    { token: tokenId(0), logprob: -Infinity },
  ],
});

describe("the detokenizer", () => {
  test("waits for a character's last byte and says U+FFFD when it never comes", () => {
    const detokenizer = new Detokenizer(vocabulary([0xf0, 0x9f], [0x98], [0x80], "b"));
    expect([0, 1, 2, 0, 3].map((id) => detokenizer.push(tokenId(id)))).toEqual(["", "", "😀", "", "\ufffdb"]);
    detokenizer.push(tokenId(0));
    expect(detokenizer.pendingBytes).toBe(2);
    expect(detokenizer.flush()).toBe("\ufffd");
    expect(detokenizer.flush()).toBe("");
  });

  test("gives no text for special tokens, which do not break a character in two", () => {
    const isSpecial = (token: TokenId): boolean => token === 1;
    const detokenizer = new Detokenizer(vocabulary([0xc3], "<|end|>", [0xa9]), { isSpecial });
    expect([0, 1, 2].map((id) => detokenizer.push(tokenId(id)))).toEqual(["", "", "é"]);
  });

  test("drops the first space only, also when special tokens stand before it", () => {
    const options = { isSpecial: (token: TokenId) => token === 0, stripFirstSpace: true };
    const detokenizer = new Detokenizer(vocabulary("<s>", " ", "  a"), options);
    expect([0, 1, 2].map((id) => detokenizer.push(tokenId(id)))).toEqual(["", "", "  a"]);
  });

  test("describes a token alone, also a special one", () => {
    const bytes = vocabulary("<s>", [0xe2, 0x82]);
    expect(describeToken(bytes, tokenId(0))).toEqual({ token: 0, text: "<s>", bytes: [60, 115, 62] });
    expect(describeToken(bytes, tokenId(1))).toEqual({ token: 1, text: "\ufffd", bytes: [0xe2, 0x82] });
  });
});

describe("stop strings", () => {
  const run = (stops: string[], ...parts: string[]): string[] => {
    const finder = new StopStrings(stops);
    return [...parts.map((part) => finder.push(part).emit), finder.flush()];
  };

  test("across pushes are found whole and held back no longer than needed", () => {
    expect(run(["END"], "xE", "N", "xEND", "more")).toEqual(["x", "", "ENx", "", ""]);
    expect(run(["END"], "xE", "N")).toEqual(["x", "", "EN"]);
  });

  test("that overlap themselves are found after a false start", () => {
    expect(run(["aab"], "a", "a", "a", "b")).toEqual(["", "", "a", "", ""]);
  });

  test("that complete together end the answer where the longest starts; else the first to complete wins", () => {
    expect(run(["c", "abc"], "xxabc")).toEqual(["xx", ""]);
    expect(run(["b", "abc"], "xxabc")).toEqual(["xxa", ""]);
  });

  test("do not exist: text passes at once, and an empty one never matches", () => {
    expect(run([], "abc")).toEqual(["abc", ""]);
    expect(run([""], "abc")).toEqual(["abc", ""]);
  });

  test("that may not end the answer yet are let through at once, unless a longer one may come of them", () => {
    const finder = new StopStrings(["ab", "abcd", "bx"]);
    expect(finder.push("xab", false)).toEqual({ emit: "x", stopped: false });
    expect(finder.push("c", false)).toEqual({ emit: "", stopped: false });
    expect(finder.push("d", false)).toEqual({ emit: "abcd", stopped: false });
    expect(finder.push("ab", false)).toEqual({ emit: "", stopped: false });
    expect(finder.push("x", true)).toEqual({ emit: "a", stopped: true });
    const simple = new StopStrings(["ab"]);
    expect(simple.push("ab", false)).toEqual({ emit: "ab", stopped: false });
    expect(simple.push("ab", true)).toEqual({ emit: "", stopped: true });
  });

  test("that begin inside a pair do not leave half a character in front of them", () => {
    expect(run(["\ude00"], "a😀")).toEqual(["a", ""]);
  });

  test("of the worst kind take time in proportion to the text", () => {
    const finder = new StopStrings([`${"a".repeat(1000)}b`, `${"a".repeat(999)}c`]);
    const started = performance.now();
    for (let i = 0; i < 200_000; i += 1) finder.push("a");
    expect(finder.flush().length).toBe(1000);
    expect(performance.now() - started).toBeLessThan(5000);
  });
});

describe("the assembled answer", () => {
  const bytes = vocabulary("Hel", "lo", " wor", "ld\n", "\nUser:", [0xe2, 0x82], [0xac], "<|x|>");
  const assembler = (...stop: string[]): TextAssembler =>
    new TextAssembler(bytes, { stop, isSpecial: (token) => token === 7 });

  test("comes token by token while no stop is near", () => {
    const one = assembler();
    expect(one.push(tokenId(0), undefined)).toEqual({
      event: { kind: "text", text: "Hel", tokens: ids(0), logprobs: [] },
      stopped: false,
    });
    expect(one.flush()).toBeUndefined();
  });

  test("tells a token only once all of its text is out", () => {
    const one = assembler("\n\nUser:");
    expect(one.push(tokenId(3), undefined).event).toEqual({
      kind: "text",
      text: "ld",
      tokens: [],
      logprobs: [],
    });
    expect(one.push(tokenId(0), undefined).event?.tokens).toEqual(ids(3, 0));
  });

  test("ends at a stop that spans tokens: a token that also holds answer text is told, those of the stop are not", () => {
    const one = assembler("\n\nUser:");
    one.push(tokenId(0), undefined);
    one.push(tokenId(3), undefined);
    expect(one.push(tokenId(4), undefined)).toEqual({
      event: { kind: "text", text: "", tokens: ids(3), logprobs: [] },
      stopped: true,
    });
    expect(one.flush()).toBeUndefined();
    expect(one.push(tokenId(0), undefined)).toEqual({ event: undefined, stopped: true });
  });

  test("does not tell a token that is the stop and nothing else", () => {
    const one = assembler("\nUser:");
    one.push(tokenId(0), undefined);
    expect(one.push(tokenId(4), undefined)).toEqual({ event: undefined, stopped: true });
  });

  test("tells the tokens of one character together with it, and special tokens without text", () => {
    const one = assembler();
    expect(one.push(tokenId(5), undefined).event).toBeUndefined();
    expect(one.push(tokenId(6), undefined).event).toEqual({
      kind: "text",
      text: "€",
      tokens: ids(5, 6),
      logprobs: [],
    });
    expect(one.push(tokenId(7), undefined).event).toEqual({
      kind: "text",
      text: "",
      tokens: ids(7),
      logprobs: [],
    });
  });

  test("does not make the first half of a character wait for a stop that starts behind it", () => {
    const one = new TextAssembler(vocabulary([0xe2, 0x82], [0xac, 0x53], "TOP"), { stop: ["STOP"] });
    one.push(tokenId(0), undefined);
    expect(one.push(tokenId(1), undefined).event).toEqual({
      kind: "text",
      text: "€",
      tokens: ids(0),
      logprobs: [],
    });
    expect(one.push(tokenId(2), undefined)).toEqual({
      event: { kind: "text", text: "", tokens: ids(1), logprobs: [] },
      stopped: true,
    });
  });

  test("carries log-probabilities with its tokens, never below what JSON can say", () => {
    const { event } = assembler().push(tokenId(1), scored(1));
    expect(event?.logprobs).toEqual([
      {
        token: 1,
        text: "lo",
        bytes: [108, 111],
        logprob: -1,
        offset: 0,
        top: [
          { token: 1, text: "lo", bytes: [108, 111], logprob: -1 },
          { token: 0, text: "Hel", bytes: [72, 101, 108], logprob: -9999 },
        ],
      },
    ]);
  });

  test("tells where each token's text begins, in characters, also around broken ones and tokens without text", () => {
    // "😀" in two tokens, a broken start of one, a special token, and a whole "€".
    const bytes = vocabulary([0xf0, 0x9f], [0x98, 0x80], "b", "<|x|>", "€", [0xc3]);
    const one = new TextAssembler(bytes, { stop: [], isSpecial: (token) => token === 3 });
    const order = [0, 1, 2, 0, 2, 3, 4, 0, 3, 4, 5, 5];
    const told = order.map((id) => one.push(tokenId(id), scored(id)).event);
    const logprobs = [...told, one.flush()].flatMap((event) => event?.logprobs ?? []);
    //                     😀     b  \ufffdb  <>  €  \ufffd    €  \ufffd \ufffd
    expect(logprobs.map(({ offset }) => offset)).toEqual([0, 0, 1, 2, 3, 4, 4, 5, 5, 6, 7, 8]);
    expect(logprobs.map(({ token }) => token)).toEqual(order);
  });

  test("ends with an unfinished character as U+FFFD and with what was held back", () => {
    const one = assembler("\ufffdx");
    one.push(tokenId(5), undefined);
    expect(one.flush()).toEqual({ kind: "text", text: "\ufffd", tokens: ids(5), logprobs: [] });
  });
});
