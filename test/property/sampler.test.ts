/** The sampler against a naive one: full sort, Math.exp, float64, written from the definition. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { sequenceId, slot, type TokenId, tokenId } from "../../engine/core/brand.ts";
import { uniform } from "../../engine/core/random.ts";
import type { Sampling } from "../../engine/core/request.ts";
import { RowSampler, scoreTarget } from "../../engine/worker/sampler.ts";
import { PLAIN } from "../support/requests.ts";

interface Candidate {
  readonly id: number;
  readonly logit: number;
  readonly mass: number;
}

const ordered = (row: ArrayLike<number>, temperature: number): Candidate[] => {
  const max = Math.max(...Array.from(row));
  return Array.from(row, (logit, id) => ({ id, logit, mass: Math.exp((logit - max) / temperature) })).sort(
    (a, b) => b.logit - a.logit || a.id - b.id,
  );
};

const massOf = (candidates: readonly Candidate[]): number =>
  candidates.reduce((sum, { mass }) => sum + mass, 0);

/** What the filters leave, by the definition; `leaning` > 1 keeps a crumb more than it should, < 1 a crumb less. */
function kept(
  row: ArrayLike<number>,
  { temperature, topK, topP, minP }: Sampling,
  leaning: number,
): Candidate[] {
  let left = ordered(row, temperature).filter(({ logit }) => logit > -Infinity);
  if (topK > 0) left = left.slice(0, topK);
  if (topP < 1) {
    const bound = topP * massOf(left) * leaning;
    let before = 0;
    left = left.filter(({ mass }) => {
      const keep = before < bound;
      before += mass;
      return keep;
    });
  }
  return left.filter(({ mass }, rank) => rank === 0 || mass * leaning >= minP);
}

function bent(
  row: Float32Array,
  sampling: Sampling,
  prompt: readonly number[],
  answer: readonly number[],
): Float32Array {
  const result = Float32Array.from(row);
  for (const [id, bias] of sampling.logitBias) result[id] = (result[id] as number) + bias;
  for (const id of new Set([...prompt, ...answer])) {
    const logit = result[id] as number;
    const repeated = logit > 0 ? logit / sampling.repetitionPenalty : logit * sampling.repetitionPenalty;
    const count = answer.filter((token) => token === id).length;
    result[id] = repeated - (count > 0 ? sampling.presencePenalty : 0) - sampling.frequencyPenalty * count;
  }
  return result;
}

function samplerOf(
  change: Partial<Sampling>,
  vocabSize: number,
  more: { endTokens?: TokenId[]; minTokens?: number } = {},
) {
  const sampling = { ...PLAIN, ...change };
  const opening = { sequence: sequenceId(1), slot: slot(0), sampling, logprobs: undefined };
  return new RowSampler(
    { ...opening, endTokens: more.endTokens ?? [], minTokens: more.minTokens ?? 0 },
    vocabSize,
  );
}

const logit = fc.oneof(
  { weight: 6, arbitrary: fc.float({ min: -30, max: 30, noNaN: true }) },
  { weight: 3, arbitrary: fc.integer({ min: -4, max: 4 }) },
  { weight: 1, arbitrary: fc.constantFrom(-Infinity, -0, 0, 3e38, -3e38, 1e-40) },
);
const row = fc
  .array(logit, { minLength: 1, maxLength: 300 })
  .filter((logits) => logits.some((x) => x > -Infinity))
  .map((logits) => Float32Array.from(logits));
const filters = fc.record({
  temperature: fc.constantFrom(0.01, 0.3, 0.8, 1, 1.7, 30),
  topK: fc.constantFrom(0, 0, 1, 2, 7, 40, 128, 129, 200, 1_000_000),
  topP: fc.constantFrom(1, 1, 0.999, 0.95, 0.5, 0.1, 1e-9),
  minP: fc.constantFrom(0, 0, 0.01, 0.3, 1),
  seed: fc.nat(),
});

describe("a draw", () => {
  test("falls where the naive sampler's cumulative sum says, under every mix of filters", () => {
    fc.assert(
      fc.property(row, filters, fc.nat({ max: 5 }), (logits, change, skip) => {
        const sampling = { ...PLAIN, ...change };
        const sampler = samplerOf(change, logits.length);
        for (let i = 0; i < skip; i += 1) sampler.sample(logits);
        const { token } = sampler.sample(logits);
        const chance = uniform(sampling.seed, skip);

        const generous = kept(logits, sampling, 1 + 1e-7);
        const strict = kept(logits, sampling, 1 - 1e-7);
        const rank = generous.findIndex(({ id }) => id === token);
        expect(rank, "the token is among those that the filters keep").toBeGreaterThanOrEqual(0);
        const before = massOf(generous.slice(0, rank));
        const after = before + (generous[rank]?.mass ?? 0);
        expect(chance * massOf(generous)).toBeGreaterThanOrEqual(before * (1 - 1e-7));
        expect(chance * massOf(strict)).toBeLessThanOrEqual(after * (1 + 1e-7));
      }),
      { numRuns: 3000 },
    );
  });

  test("leaves the row as it was and depends on seed and position alone", () => {
    fc.assert(
      fc.property(row, filters, (logits, change) => {
        const before = logits.slice();
        const ends = [tokenId(0)];
        const one = samplerOf(
          { ...change, logitBias: [[tokenId(0), 3]], presencePenalty: 1 },
          logits.length,
          {
            endTokens: ends,
            minTokens: 2,
          },
        );
        const other = samplerOf(
          { ...change, logitBias: [[tokenId(0), 3]], presencePenalty: 1 },
          logits.length,
          {
            endTokens: ends,
            minTokens: 2,
          },
        );
        const neighbour = samplerOf({ ...change, seed: 99 }, logits.length);
        for (let i = 0; i < 4; i += 1) {
          const { token } = one.sample(logits);
          neighbour.sample(logits);
          expect(other.sample(logits).token).toBe(token);
        }
        expect(logits).toEqual(before);
      }),
    );
  });

  test("at temperature 0 is the first of the largest logits after bias and penalties", () => {
    const ids = fc.array(fc.nat({ max: 11 }), { maxLength: 10 });
    fc.assert(
      fc.property(
        fc.array(fc.float({ min: -20, max: 20, noNaN: true }), { minLength: 12, maxLength: 40 }),
        ids,
        fc.record({
          repetitionPenalty: fc.constantFrom(1, 1.3, 0.7),
          presencePenalty: fc.constantFrom(0, 0.5, -2),
          frequencyPenalty: fc.constantFrom(0, 0.4, -1),
          logitBias: fc.constantFrom([], [[tokenId(3), 5] as const, [tokenId(4), -100] as const]),
        }),
        (logits, prompt, change) => {
          const sampler = samplerOf({ ...change, temperature: 0 }, logits.length);
          sampler.observePrompt(prompt.map(tokenId));
          const answer: number[] = [];
          for (let i = 0; i < 8; i += 1) {
            const given = Float32Array.from(logits);
            const naive = bent(given, { ...PLAIN, ...change }, prompt, answer);
            const { token } = sampler.sample(given);
            expect(token).toBe(naive.indexOf(Math.max(...naive)));
            answer.push(token);
          }
          expect(sampler.generated).toBe(8);
        },
      ),
    );
  });
});

describe("log-probabilities", () => {
  test("equal the naive softmax of the row, and the alternatives are its best tokens in order", () => {
    fc.assert(
      fc.property(row, fc.nat(), fc.nat({ max: 20 }), (logits, pick, alternatives) => {
        const target = tokenId(pick % logits.length);
        const all = ordered(logits, 1);
        const normaliser = Math.log(massOf(all));
        const max = all[0]?.logit ?? 0;
        const naive = (id: number): number => (logits[id] as number) - max - normaliser;
        const scored = scoreTarget(logits, target, alternatives);
        expect(scored.token).toBe(target);
        expect(scored.logprob).toBeLessThanOrEqual(0);
        if (naive(target) === -Infinity) expect(scored.logprob).toBe(-Infinity);
        else expect(Math.abs(scored.logprob - naive(target))).toBeLessThan(1e-8);
        const best = all.filter((candidate) => candidate.logit > -Infinity).slice(0, alternatives);
        expect(scored.top.map(({ token }) => token)).toEqual(best.map(({ id }) => id));
        for (const { token, logprob } of scored.top)
          expect(Math.abs(logprob - naive(token))).toBeLessThan(1e-8);
      }),
      { numRuns: 1000 },
    );
  });
});
