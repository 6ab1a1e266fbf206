/** Detokenizer, stop strings and their assembly against naive ones that see the whole text at once. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type TokenId, tokenId } from "../../engine/core/brand.ts";
import { Detokenizer } from "../../engine/local/detokenizer.ts";
import { StopStrings } from "../../engine/local/stop-strings.ts";
import { TextAssembler } from "../../engine/local/text-assembler.ts";

const whole = new TextDecoder("utf-8", { ignoreBOM: true });
const utf8 = new TextEncoder();
const concat = (parts: readonly Uint8Array[]): Uint8Array =>
  Uint8Array.from(parts.flatMap((part) => [...part]));

/** Text with characters of every length, and bytes that start characters without ending them. */
const piece = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .constantFrom("a", "é", "€", "😀", "\u{10ffff}", "\ufeff", " ", "\0")
      .map((c) => utf8.encode(c)),
  },
  { weight: 3, arbitrary: fc.uint8Array({ minLength: 1, maxLength: 3 }) },
  {
    weight: 3,
    arbitrary: fc
      .array(
        fc.constantFrom(0x41, 0x80, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xe0, 0xe2, 0xed, 0xef, 0xf0, 0xf4, 0xf5),
        { minLength: 1, maxLength: 4 },
      )
      .map((bytes) => Uint8Array.from(bytes)),
  },
);
const bytes = fc.array(piece, { maxLength: 12 }).map(concat);

/** Token i stands for the i-th part; cuts fall anywhere, also twice in one place. */
function cutAt(all: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [0, ...cuts.map((cut) => cut % (all.length + 1)).sort((a, b) => a - b), all.length];
  return places.slice(1).map((to, i) => all.slice(places[i], to));
}
const parts = fc.tuple(bytes, fc.array(fc.nat(), { maxLength: 12 })).map(([all, cuts]) => cutAt(all, cuts));
const bytesOf = (tokens: readonly Uint8Array[]) => (token: TokenId) => tokens[token] as Uint8Array;

const halfPair = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

describe("the detokenizer", () => {
  test("gives in pieces what one decoding of all bytes gives, however they are cut", () => {
    fc.assert(
      fc.property(parts, (tokens) => {
        const detokenizer = new Detokenizer(bytesOf(tokens));
        let text = "";
        tokens.forEach((_, i) => {
          text += detokenizer.push(tokenId(i));
          const seen = concat(tokens.slice(0, i + 1));
          // Certain means: it stays whatever follows. And nothing certain waits: only an unfinished character does.
          expect(whole.decode(concat([seen, utf8.encode("x")])).startsWith(text)).toBe(true);
          expect(text).toBe(whole.decode(seen.subarray(0, seen.length - detokenizer.pendingBytes)));
          if (detokenizer.pendingBytes > 0) {
            const tail = seen.slice(seen.length - detokenizer.pendingBytes);
            expect(whole.decode(tail)).toBe("\ufffd");
            expect(finishes(tail), `${tail} can become a character`).toBe(true);
          }
        });
        expect(text + detokenizer.flush()).toBe(whole.decode(concat(tokens)));
      }),
      { numRuns: 3000 },
    );
  });

  test("drops one leading space of a text, and only where it is asked to", () => {
    fc.assert(
      fc.property(parts, (tokens) => {
        const all = (stripFirstSpace: boolean): string => {
          const detokenizer = new Detokenizer(bytesOf(tokens), { stripFirstSpace });
          return tokens.map((_, i) => detokenizer.push(tokenId(i))).join("") + detokenizer.flush();
        };
        const text = whole.decode(concat(tokens));
        expect(all(false)).toBe(text);
        expect(all(true)).toBe(text.replace(/^ /, ""));
      }),
    );
  });
});

/** Some continuation of up to three bytes makes one whole character of it. */
function finishes(tail: Uint8Array): boolean {
  const isOne = (more: number[]): boolean => {
    const text = whole.decode(concat([tail, Uint8Array.from(more)]));
    return [...text].length === 1 && text !== "\ufffd";
  };
  return [0x80, 0x90, 0xa0, 0xbf].some((a) => isOne([a]) || isOne([a, 0x80]) || isOne([a, 0x80, 0x80]));
}

const alphabet = fc.constantFrom("a", "b", "c", "\n", "😀", "😁", "\ud83d", "\ude00");
const text = fc.array(alphabet, { maxLength: 40 }).map((letters) => letters.join(""));
const stops = fc.array(
  fc.array(alphabet, { maxLength: 6 }).map((letters) => letters.join("")),
  { maxLength: 4 },
);
const cuts = fc.array(fc.nat(), { maxLength: 12 });

function cutText(all: string, at: readonly number[]): string[] {
  const places = [0, ...at.map((cut) => cut % (all.length + 1)).sort((a, b) => a - b), all.length];
  return places.slice(1).map((to, i) => all.slice(places[i], to));
}

/** By the definition: the first end at which a stop is complete; there, the longest. Undefined = none. */
function naiveMatch(all: string, wanted: readonly string[]): number | undefined {
  for (let end = 1; end <= all.length; end += 1) {
    const lengths = wanted
      .filter((stop) => stop !== "" && all.slice(0, end).endsWith(stop))
      .map(({ length }) => length);
    if (lengths.length > 0) return end - Math.max(...lengths);
  }
  return undefined;
}

const withoutHalf = (all: string): string => (/[\ud800-\udbff]$/.test(all) ? all.slice(0, -1) : all);

describe("stop strings", () => {
  test("cut where the naive search over the whole text cuts, however the text is pushed", () => {
    fc.assert(
      fc.property(text, stops, cuts, (all, wanted, at) => {
        const finder = new StopStrings(wanted);
        const match = naiveMatch(all, wanted);
        let emitted = "";
        let stopped = false;
        for (const part of cutText(all, at)) {
          const result = finder.push(part);
          emitted += result.emit;
          stopped = result.stopped;
        }
        emitted += finder.flush();
        expect(stopped).toBe(match !== undefined);
        expect(emitted).toBe(match === undefined ? all : withoutHalf(all.slice(0, match)));
      }),
      { numRuns: 5000 },
    );
  });

  test("hold back exactly the longest suffix that may still become one, and no half pair", () => {
    fc.assert(
      fc.property(text, stops, cuts, (all, wanted, at) => {
        const finder = new StopStrings(wanted);
        let seen = "";
        let emitted = "";
        for (const part of cutText(all, at)) {
          seen += part;
          const { emit, stopped } = finder.push(part);
          emitted += emit;
          if (stopped) return;
          const candidates = wanted.flatMap((stop) =>
            Array.from({ length: stop.length }, (_, n) => stop.slice(0, n)),
          );
          const held = Math.max(
            0,
            ...candidates.filter((prefix) => seen.endsWith(prefix)).map(({ length }) => length),
          );
          expect(emitted).toBe(withoutHalf(seen.slice(0, seen.length - held)));
        }
      }),
      { numRuns: 3000 },
    );
  });

  test("never emit half of a surrogate pair from well-formed text", () => {
    const formed = fc
      .array(fc.constantFrom("a", "😀", "😁"), { maxLength: 20 })
      .map((letters) => letters.join(""));
    fc.assert(
      fc.property(formed, stops, cuts, (all, wanted, at) => {
        const finder = new StopStrings(wanted);
        for (const part of cutText(all, at)) expect(finder.push(part).emit).not.toMatch(halfPair);
        expect(finder.flush()).not.toMatch(halfPair);
      }),
    );
  });
});

describe("the assembled text", () => {
  const stop = fc.array(fc.constantFrom("a", "€a", "é😀", " ", "\ufffd", "aa a"), { maxLength: 3 });

  test("is the decoded text up to the stop, and tells each token once, in order, with the text that completes it", () => {
    fc.assert(
      fc.property(parts, stop, (tokens, wanted) => {
        const all = whole.decode(concat(tokens));
        const match = naiveMatch(all, wanted);
        const assembler = new TextAssembler(bytesOf(tokens), { stop: wanted });
        let shown = "";
        const told: number[] = [];
        const offsets: number[] = [];
        let stopped = false;
        let pushed = 0;
        const certain = (count: number): { text: string; pending: boolean } => {
          const detokenizer = new Detokenizer(bytesOf(tokens));
          const pieces = tokens.slice(0, count).map((_, i) => detokenizer.push(tokenId(i)));
          return { text: pieces.join(""), pending: detokenizer.pendingBytes > 0 };
        };
        const take = (event: ReturnType<TextAssembler["flush"]>): void => {
          shown += event?.text ?? "";
          told.push(...(event?.tokens ?? []));
          offsets.push(...(event?.logprobs ?? []).map(({ offset }) => offset));
          expect(event?.logprobs.map(({ token }) => token) ?? []).toEqual(event?.tokens ?? []);
          if (stopped) return;
          // What was told is shown, and a token whose text is shown does not wait.
          expect(shown.startsWith(certain(told.length).text)).toBe(true);
          const next = certain(told.length + 1);
          if (told.length < pushed && !next.pending) expect(next.text.length).toBeGreaterThan(shown.length);
        };
        for (let i = 0; i < tokens.length && !stopped; i += 1) {
          const step = assembler.push(tokenId(i), { token: tokenId(i), logprob: -i, top: [] });
          ({ stopped } = step);
          pushed = i + 1;
          take(step.event);
        }
        take(assembler.flush());
        expect(shown).toBe(match === undefined ? all : all.slice(0, match));
        expect(told).toEqual(told.map((_, i) => i));
        const characters = [...all];
        for (const [i, offset] of offsets.entries()) {
          expect(offset).toBeGreaterThanOrEqual(offsets[i - 1] ?? 0);
          expect(offset).toBeLessThanOrEqual([...shown].length);
          const alone = [...whole.decode(tokens[i])];
          if (alone.includes("\ufffd")) continue;
          expect(characters.slice(offset, offset + alone.length)).toEqual(alone);
        }
        if (match === undefined) expect(told.length).toBe(tokens.length);
      }),
      { numRuns: 3000 },
    );
  });
});
