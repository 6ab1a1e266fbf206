import { describe, expect, test } from "vitest";
import { sequenceId, slot, type TokenId, tokenId } from "../../../engine/core/brand.ts";
import { uniform } from "../../../engine/core/random.ts";
import type { Sampling } from "../../../engine/core/request.ts";
import type { SequenceOpening } from "../../../engine/core/step.ts";
import { RowSampler, scoreTarget } from "../../../engine/worker/sampler.ts";
import { PLAIN } from "../../support/requests.ts";

const plain: Sampling = { ...PLAIN, seed: 1 };

const open = (change: Partial<Sampling>, more: Partial<SequenceOpening> = {}): SequenceOpening => ({
  sequence: sequenceId(1),
  slot: slot(0),
  sampling: { ...plain, ...change },
  logprobs: undefined,
  endTokens: [],
  minTokens: 0,
  ...more,
});

const row = (...logits: number[]): Float32Array => Float32Array.from(logits);

/** Draws `count` tokens, all from the same row. */
function draws(change: Partial<Sampling>, logits: Float32Array, count: number): TokenId[] {
  const sampler = new RowSampler(open(change), logits.length);
  return Array.from({ length: count }, () => sampler.sample(logits).token);
}

/** A large row whose best tokens are known: `likely[i]` stands at id 997 * (i + 1). */
function largeRow(size: number, likely: readonly number[]): Float32Array {
  const logits = Float32Array.from({ length: size }, (_, id) => -12 + 3 * uniform(5, id));
  likely.forEach((logit, i) => {
    logits[997 * (i + 1)] = logit;
  });
  return logits;
}

describe("greedy sampling", () => {
  test("takes the first of equal logits, wherever the ties stand", () => {
    for (let first = 0; first < 20; first += 1) {
      const logits = new Float32Array(37).fill(-1);
      for (const id of [first, first + 3, 30]) logits[id] = 2;
      expect(draws({ temperature: 0 }, logits, 1)).toEqual([first]);
    }
  });

  test("is what a vanishing temperature means", () => {
    expect(draws({ temperature: 1e-300 }, row(1, 3, 2), 5)).toEqual([1, 1, 1, 1, 1]);
  });
});

describe("a damaged row", () => {
  test.each([...new Array(17).keys()])("with NaN at %i fails with a sentence instead of token 0", (at) => {
    const logits = new Float32Array(17);
    logits[at] = Number.NaN;
    for (const change of [{ temperature: 0 }, {}, { topK: 3 }, { topP: 0.5 }]) {
      const sampler = new RowSampler(open(change), logits.length);
      expect(() => sampler.sample(logits)).toThrow(`damaged: NaN for token ${at}`);
      expect(sampler.generated).toBe(0);
    }
    expect(() => scoreTarget(logits, tokenId(0), 3)).toThrow("damaged: NaN");
  });

  test("with +Infinity fails too, and so does one where nothing is possible", () => {
    expect(() => draws({}, row(0, Infinity, 1), 1)).toThrow("damaged: Infinity for token 1");
    expect(() => draws({}, row(-Infinity, -Infinity), 1)).toThrow("every logit of the row is -Infinity");
    expect(() => scoreTarget(row(-Infinity), tokenId(0), 0)).toThrow("every logit of the row is -Infinity");
  });

  test("of the wrong length is a bug", () => {
    expect(() => new RowSampler(open({}), 4).sample(row(1, 2))).toThrow("a row has 4 logits, not 2");
  });
});

describe("filters", () => {
  test("top_p keeps the shortest prefix that holds at least its share, also at an exact border", () => {
    const even = row(1, 1, 1, 1);
    expect(new Set(draws({ topP: 0.5 }, even, 400))).toEqual(new Set([0, 1]));
    expect(new Set(draws({ topP: 0.500001 }, even, 400))).toEqual(new Set([0, 1, 2]));
    expect(new Set(draws({ topP: 1e-12 }, even, 400))).toEqual(new Set([0]));
    expect(new Set(draws({ topP: 1 }, even, 400))).toEqual(new Set([0, 1, 2, 3]));
  });

  test("top_p takes its share of what top_k left", () => {
    expect(new Set(draws({ topK: 2, topP: 0.5 }, row(1, 1, 1, 1), 400))).toEqual(new Set([0]));
    expect(new Set(draws({ topK: 3, topP: 0.5 }, row(1, 1, 1, 1), 400))).toEqual(new Set([0, 1]));
  });

  test("top_k breaks ties by the smaller id, and one above the vocabulary keeps everything", () => {
    expect(new Set(draws({ topK: 2 }, row(0, 5, 5, 5), 400))).toEqual(new Set([1, 2]));
    expect(new Set(draws({ topK: 4_000_000 }, row(0, 0, 0), 400))).toEqual(new Set([0, 1, 2]));
  });

  test("a top_k beyond the short list cuts exactly there, in a tie of thousands, and top_p inside it", () => {
    const logits = new Float32Array(1500);
    const byOrder = (kept: number) => Array.from({ length: 300 }, (_, i) => Math.floor(uniform(1, i) * kept));
    expect(draws({}, logits, 300)).toEqual(byOrder(1500));
    expect(draws({ topK: 200 }, logits, 300)).toEqual(byOrder(200));
    expect(draws({ topK: 200, topP: 0.5 }, logits, 300)).toEqual(byOrder(100));
  });

  test("min_p keeps tokens with at least its share of the best one's probability", () => {
    const logits = row(0, Math.log(0.5), Math.log(0.25), Math.log(0.1));
    expect(new Set(draws({ minP: 0.2 }, logits, 600))).toEqual(new Set([0, 1, 2]));
    expect(new Set(draws({ minP: 0.2, topP: 0.6 }, logits, 600))).toEqual(new Set([0, 1]));
    expect(new Set(draws({ minP: 0.4, topP: 0.9999 }, logits, 600))).toEqual(new Set([0, 1]));
    expect(new Set(draws({ minP: 1 }, row(3, 3, 2.9), 600))).toEqual(new Set([0, 1]));
  });

  test("a token at -Infinity is never drawn, however hot", () => {
    expect(new Set(draws({ temperature: 1000 }, row(-Infinity, 1, -Infinity, -50), 400))).toEqual(
      new Set([1, 3]),
    );
    expect(new Set(draws({ temperature: 1000, topK: 3 }, row(-Infinity, 1, -Infinity, -50), 400))).toEqual(
      new Set([1, 3]),
    );
  });
});

describe("min_tokens", () => {
  test("bans end tokens until the answer is long enough", () => {
    const sampler = new RowSampler(open({ temperature: 0 }, { endTokens: [tokenId(2)], minTokens: 2 }), 3);
    const logits = row(1, 0, 9);
    expect([1, 2, 3].map(() => sampler.sample(logits).token)).toEqual([0, 0, 2]);
  });

  test("yields where end tokens are all there is, so that one request cannot fail its neighbours' step", () => {
    const sampler = new RowSampler(
      open({ temperature: 0 }, { endTokens: [tokenId(0), tokenId(1)], minTokens: 5 }),
      2,
    );
    expect(sampler.sample(row(1, 2)).token).toBe(1);
  });
});

describe("penalties and bias", () => {
  test("of absurd size neither overflow nor fail the row", () => {
    const sampler = new RowSampler(
      open({ temperature: 0, repetitionPenalty: 1e-300, frequencyPenalty: -1e300 }),
      3,
    );
    sampler.observePrompt([tokenId(0)]);
    const logits = row(2, 1, 5);
    expect(sampler.sample(logits).token).toBe(0);
    expect(sampler.sample(logits).token).toBe(0);
    expect(logits).toEqual(row(2, 1, 5));
  });

  test("ignore tokens outside the vocabulary", () => {
    expect(draws({ temperature: 0, logitBias: [[tokenId(7), 100]] }, row(1, 2), 2)).toEqual([1, 1]);
  });

  test("leave log-probabilities those of the model", () => {
    const sampler = new RowSampler(
      open({ temperature: 0, logitBias: [[tokenId(0), 100]] }, { logprobs: 1 }),
      2,
    );
    const { token, scored } = sampler.sample(row(0, Math.log(3)));
    expect(token).toBe(0);
    expect(scored?.logprob).toBeCloseTo(Math.log(0.25), 6);
    expect(scored?.top).toEqual([{ token: 1, logprob: expect.closeTo(Math.log(0.75), 6) }]);
  });
});

describe("draws over many positions", () => {
  /** Pearson's statistic of `count` draws against the softmax of the tokens `allowed`; everything else must be absent. */
  function chiSquare(
    change: Partial<Sampling>,
    logits: Float32Array,
    allowed: readonly number[],
    count: number,
  ): number {
    const temperature = change.temperature ?? 1;
    const weights = allowed.map((id) => Math.exp((logits[id] as number) / temperature));
    const total = weights.reduce((a, b) => a + b, 0);
    const seen = new Map<number, number>();
    for (const token of draws(change, logits, count)) seen.set(token, (seen.get(token) ?? 0) + 1);
    expect([...seen.keys()].filter((id) => !allowed.includes(id))).toEqual([]);
    return allowed.reduce((sum, id, i) => {
      const expected = (count * (weights[i] as number)) / total;
      return sum + ((seen.get(id) ?? 0) - expected) ** 2 / expected;
    }, 0);
  }
  const small = row(1, 0.2, -1, 0.2, 2, -0.5, 1.3, -2);
  const ids = [...small.keys()];

  // 24.3 is the 0.999 quantile for 7 degrees of freedom, 16.3 for 3.
  test.each([1, 2, 3, 4])("follow the softmax (seed %i)", (seed) => {
    expect(chiSquare({ seed }, small, ids, 20_000)).toBeLessThan(24.3);
    expect(chiSquare({ seed, temperature: 0.6 }, small, ids, 20_000)).toBeLessThan(24.3);
    expect(chiSquare({ seed, topK: 4 }, small, [4, 6, 0, 1], 20_000)).toBeLessThan(16.3);
    expect(chiSquare({ seed, minP: 0.3 }, small, [4, 6, 0], 20_000)).toBeLessThan(13.9);
  });

  test("follow the softmax of a large row cut by top_p and by a long top_k", () => {
    const likely = [4, 4.5, 3.5, 5];
    const logits = largeRow(8192, likely);
    const allowed = likely.map((_, i) => 997 * (i + 1));
    expect(chiSquare({ topP: 0.97 }, logits, allowed, 5000)).toBeLessThan(16.3);
    expect(chiSquare({ topP: 0.97, topK: 150 }, logits, allowed, 5000)).toBeLessThan(16.3);
  });

  test("repeat for the same seed and differ for another", () => {
    expect(draws({ seed: 5 }, small, 50)).toEqual(draws({ seed: 5 }, small, 50));
    expect(draws({ seed: 5 }, small, 50)).not.toEqual(draws({ seed: 6 }, small, 50));
  });
});
