/** Made-up SentencePiece vocabularies: merges with ranks against merging by score, said as plainly as can be. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { tokenizerFromGguf } from "../../models/tokenizer/from-gguf.ts";
import { loadTokenizer } from "../../models/tokenizer/load.ts";

const SPECIALS = ["<unk>", "<s>", "</s>"];
const BYTES = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
);
const FIRST_PIECE = SPECIALS.length + BYTES.length;

interface Vocabulary {
  readonly pieces: readonly string[];
  readonly scores: readonly number[];
}

/** The rule itself: of all neighbours whose joined text is a piece, join the best, the leftmost of equals; repeat. */
function reference(text: string, { pieces, scores }: Vocabulary): number[] {
  const ids = new Map(pieces.map((piece, index) => [piece, index]));
  const symbols = [...`▁${text.replaceAll(" ", "▁")}`];
  for (;;) {
    let best: { readonly at: number; readonly score: number } | undefined;
    for (let at = 0; at + 1 < symbols.length; at += 1) {
      const index = ids.get(`${symbols[at]}${symbols[at + 1]}`);
      const score = index === undefined ? undefined : (scores[index] as number);
      if (score !== undefined && (best === undefined || score > best.score)) best = { at, score };
    }
    if (best === undefined) break;
    symbols.splice(best.at, 2, `${symbols[best.at]}${symbols[best.at + 1]}`);
  }
  return symbols.flatMap((symbol) => {
    const index = ids.get(symbol);
    return index === undefined
      ? [...Buffer.from(symbol)].map((byte) => SPECIALS.length + byte)
      : [FIRST_PIECE + index];
  });
}

function encoder({ pieces, scores }: Vocabulary): (text: string) => number[] {
  const tokens = [...SPECIALS, ...BYTES, ...pieces];
  const types = tokens.map((_, id) => (id === 0 ? 2 : id < SPECIALS.length ? 3 : id < FIRST_PIECE ? 6 : 1));
  const { files } = tokenizerFromGguf("made-up", {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": tokens,
    "tokenizer.ggml.token_type": Int32Array.from(types),
    "tokenizer.ggml.scores": Float32Array.from([...new Array<number>(FIRST_PIECE).fill(0), ...scores]),
  });
  const tokenizer = loadTokenizer(files);
  return (text) => tokenizer.encode(text, { addSpecial: false });
}

// A small alphabet makes pieces overlap; 😀 is two UTF-16 units and one character.
const letter = fc.constantFrom("a", "b", "▁", "é", "😀");
const piece = fc.array(letter, { minLength: 1, maxLength: 5 }).map((letters) => letters.join(""));
const vocabulary: fc.Arbitrary<Vocabulary> = fc
  .uniqueArray(fc.tuple(piece, fc.integer({ min: -6, max: 0 })), {
    minLength: 1,
    maxLength: 40,
    selector: ([text]) => text,
  })
  .map((list) => ({ pieces: list.map(([text]) => text), scores: list.map(([, score]) => score) }));
const sentence = fc
  .array(fc.constantFrom("a", "b", " ", "é", "😀", "x"), { minLength: 1, maxLength: 30 })
  .map((c) => c.join(""));

test("text is merged as SentencePiece merges it, equal scores and unknown characters included", () => {
  fc.assert(
    fc.property(vocabulary, fc.array(sentence, { minLength: 1, maxLength: 5 }), (made, texts) => {
      const encode = encoder(made);
      for (const text of texts) expect(encode(text)).toEqual(reference(text, made));
    }),
    { numRuns: 400 },
  );
});

test("of equal scores the leftmost is joined first, whatever place its cut has among the merges", () => {
  const made = { pieces: ["a", "aa", "aaa", "▁"], scores: [-9, -1, -1, -9] };
  expect(encoder(made)("aaaaa")).toEqual([3, 2, 1].map((index) => FIRST_PIECE + index));
});
