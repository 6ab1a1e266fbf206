/** Lets one engine write greedy texts and counts how often another would have written the same next token. */
import type { Choice, Stepper } from "./llama-stepper.ts";

/** [step][row]: what was chosen after the prompt and after each of the text's tokens but the last. */
export type Choices = readonly (readonly Choice[])[];

export interface Agreement {
  readonly tokens: number;
  /** By place in the text (step * rows + row): how far ahead the author's choice was, in logits, where another was made. */
  readonly misses: ReadonlyMap<number, number>;
  /** Prompts whose whole text is equal: free greedy decoding gives the very same tokens. */
  readonly wholeTexts: number;
}

/** Greedy: every choice is the row's next token. */
export async function write(
  author: Stepper,
  prompts: readonly (readonly number[])[],
  steps: number,
): Promise<Choices> {
  const choices = [await author.start(prompts)];
  while (choices.length < steps) choices.push(await author.step(tokensOf(choices.at(-1) ?? [])));
  return choices;
}

/**
 * Teacher forcing: whatever the judge chooses, the author's token is computed next, so a miss does not spoil what follows.
 * Until a row's first miss this is free greedy decoding.
 */
export async function judge(
  judging: Stepper,
  prompts: readonly (readonly number[])[],
  text: Choices,
): Promise<Agreement> {
  const misses = new Map<number, number>();
  for (const [step, expected] of text.entries()) {
    const before = text[step - 1];
    const chosen = before === undefined ? await judging.start(prompts) : await judging.step(tokensOf(before));
    for (const [row, { token, margin }] of expected.entries()) {
      if (chosen[row]?.token !== token) misses.set(step * prompts.length + row, margin);
    }
  }
  const rowsMissed = new Set([...misses.keys()].map((place) => place % prompts.length));
  return { tokens: text.length * prompts.length, misses, wholeTexts: prompts.length - rowsMissed.size };
}

const tokensOf = (choices: readonly Choice[]): number[] => choices.map(({ token }) => token);

export const shareEqual = ({ tokens, misses }: Agreement): number => 1 - misses.size / tokens;

/**
 * How many standard errors `a` misses more than `b` on the same texts. Only places where one of the two missed say anything,
 * and between equals each of those is a fair coin (McNemar 1947). Between equals 2 is exceeded once in 44 times, 3 once in 740.
 */
export function excess(pairs: readonly (readonly [a: Agreement, b: Agreement])[]): number {
  let onlyA = 0;
  let onlyB = 0;
  for (const [a, b] of pairs) {
    for (const place of a.misses.keys()) if (!b.misses.has(place)) onlyA += 1;
    for (const place of b.misses.keys()) if (!a.misses.has(place)) onlyB += 1;
  }
  return onlyA + onlyB === 0 ? 0 : (onlyA - onlyB) / Math.sqrt(onlyA + onlyB);
}

/** `1270 of 1280 tokens equal (99.22 %), 12 whole texts; margins of the 10 misses: 0.001 0.004 ...`. */
export function describeAgreement(agreement: Agreement): string {
  const { tokens, misses, wholeTexts } = agreement;
  const equal = tokens - misses.size;
  const counts = `${equal} of ${tokens} tokens equal (${(100 * shareEqual(agreement)).toFixed(2)} %), ${wholeTexts} whole texts`;
  return misses.size === 0 ? counts : `${counts}; logit margins of the misses: ${describeMargins(agreement)}`;
}

const SHOWN_WHOLE = 10;

function describeMargins({ misses }: Agreement): string {
  const margins = [...misses.values()].sort((a, b) => a - b);
  if (margins.length <= SHOWN_WHOLE) return margins.map((margin) => margin.toFixed(3)).join(" ");
  const at = (share: number): string => (margins[Math.floor(share * (margins.length - 1))] ?? 0).toFixed(3);
  return `least ${at(0)}, median ${at(0.5)}, 90 % below ${at(0.9)}, largest ${at(1)}`;
}

/** What is usual: the median over all tokens of how far the choice was ahead. */
export function medianMargin(text: Choices): number {
  const margins = text.flat().map(({ margin }) => margin);
  return margins.sort((a, b) => a - b)[margins.length >> 1] ?? 0;
}
