/**
 * Fits the topic model: softmax regression over the features of `engine/routing/topic-features.ts`, by AdaGrad in a
 * fixed order, with features blanked out at random and weights drawn to zero, so that no single word decides and what
 * is learned holds on texts of other writers. Nothing depends on time or order of arrival: the same examples give the same
 * bytes.
 */

import type { Topic } from "../../engine/routing/topic.ts";
import {
  BUCKETS_LOG2,
  foldText,
  GROUPS,
  SegmentFeatures,
  segmentEnd,
} from "../../engine/routing/topic-features.ts";
import {
  GROUP_GAIN,
  HEADS,
  likeliestRun,
  ROW,
  ROW_STRIDE,
  type TopicWeights,
} from "../../engine/routing/topic-model.ts";
import { Draws } from "./templates.ts";

export interface Example {
  /** In order: a single text, or the turns of a conversation. */
  readonly texts: readonly string[];
  readonly topic: Topic;
  /** How much it counts. */
  readonly weight: number;
}

export interface FitOptions {
  readonly seed: number;
  readonly epochs: number;
  /** Share of features that an example does without each time. */
  readonly blank: number;
  readonly rate: number;
  /** Pull to zero, as a share of a weight that is added to its slope. */
  readonly decay: number;
}

export const FIT: FitOptions = { seed: 7, epochs: 8, blank: 0.4, rate: 0.4, decay: 4e-4 };

const HEAD_COUNT = HEADS.length;
/** Longer texts are trained on by their beginning. */
const SEGMENTS_MAX = 24;

/** Buckets of a segment, by group. */
type Segment = readonly Int32Array[];

interface Item {
  readonly segments: readonly Segment[];
  /** Of a public text also the part that looks most like something else just then: it is asked about parts too. */
  readonly worst: boolean;
  /** Index of the head; -1 = public. */
  readonly head: number;
  readonly weight: number;
}

export function fitTopicModel(examples: readonly Example[], options: FitOptions = FIT): TopicWeights {
  const items = examples.flatMap((example, index) =>
    itemsOf(example, new Draws(options.seed * 1_000_003 + index)),
  );
  const size = HEAD_COUNT << BUCKETS_LOG2;
  const state: FitState = {
    weights: new Float32Array(size),
    squares: new Float32Array(size),
    bias: new Float32Array(HEAD_COUNT),
  };
  for (let epoch = 0; epoch < options.epochs; epoch += 1) {
    const draws = new Draws(options.seed + epoch);
    const order = shuffledOrder(items.length, draws);
    const rate = options.rate * (1 - epoch / options.epochs);
    for (const index of order) {
      const item = items[index] as Item;
      const segments = item.worst ? worstOf(item.segments, state) : item.segments;
      step(item, together(segments), state, { ...options, rate, mask: draws.next(0x7fffffff) });
    }
  }
  return quantise(state);
}

function shuffledOrder(length: number, draws: Draws): Int32Array {
  const order = Int32Array.from({ length }, (_, index) => index);
  for (let left = length; left > 1; left -= 1) {
    const chosen = draws.next(left);
    const moved = order[left - 1] as number;
    order[left - 1] = order[chosen] as number;
    order[chosen] = moved;
  }
  return order;
}

/** The whole, and for what has several sentences also a part of it, because the model is asked about parts too. */
function itemsOf({ texts, topic, weight }: Example, draws: Draws): readonly Item[] {
  const segments = segmentsOf(texts);
  const head = topic === "public" ? -1 : HEADS.indexOf(topic);
  const count = segments.length;
  if (count === 0) return [];
  if (count === 1) return [{ segments, worst: false, head, weight }];
  if (head === -1) {
    return [
      { segments, worst: false, head, weight: weight * 0.6 },
      { segments, worst: true, head, weight: weight * 0.8 },
    ];
  }
  // Of a private text not every sentence is: only large parts of it count as such.
  const length = Math.ceil(count / 2);
  const from = draws.next(count - length + 1);
  return [
    { segments, worst: false, head, weight: weight * 0.7 },
    { segments: segments.slice(from, from + length), worst: false, head, weight: weight * 0.3 },
  ];
}

const together = (segments: readonly Segment[]): Segment =>
  segments.length === 1
    ? (segments[0] as Segment)
    : GROUPS.map((_, group) => concat(segments.map((segment) => segment[group] as Int32Array)));

/** The run of segments that the model as it is would call sensitive first. */
function worstOf(segments: readonly Segment[], { weights, bias }: FitState): readonly Segment[] {
  const sums: number[][] = [new Array<number>(ROW).fill(0)];
  for (const segment of segments) {
    const row = [...(sums[sums.length - 1] as number[])];
    for (const [group, buckets] of segment.entries()) {
      const base = group * ROW_STRIDE;
      for (const bucket of buckets)
        for (let head = 0; head < HEAD_COUNT; head += 1)
          row[base + head] = (row[base + head] as number) + (weights[bucket * HEAD_COUNT + head] as number);
      row[base + HEAD_COUNT] = (row[base + HEAD_COUNT] as number) + buckets.length;
    }
    sums.push(row);
  }
  const { from, to } = likeliestRun(sums, bias);
  return segments.slice(from, to);
}

function segmentsOf(texts: readonly string[]): readonly Segment[] {
  const features = new SegmentFeatures();
  const out: Int32Array[][] = [];
  for (const raw of texts) {
    const text = foldText(raw);
    for (let from = 0; from < text.length && out.length < SEGMENTS_MAX; ) {
      const to = segmentEnd(text, from);
      features.read(text, from, to);
      from = to;
      if (features.counts.every((count) => count === 0)) continue;
      out.push(
        GROUPS.map((_, group) => (features.buckets[group] as Int32Array).slice(0, features.counts[group])),
      );
    }
  }
  return out;
}

function concat(arrays: readonly Int32Array[]): Int32Array {
  const out = new Int32Array(arrays.reduce((sum, array) => sum + array.length, 0));
  let at = 0;
  for (const array of arrays) {
    out.set(array, at);
    at += array.length;
  }
  return out;
}

interface FitState {
  readonly weights: Float32Array;
  /** Sums of squared gradients. */
  readonly squares: Float32Array;
  readonly bias: Float32Array;
}

type StepOptions = FitOptions & { readonly mask: number };

function step(item: Item, features: Segment, state: FitState, options: StepOptions): void {
  const keep = Math.floor((1 - options.blank) * 0x10000);
  const kept = (bucket: number): boolean => Math.imul(bucket ^ options.mask, 0x9e3779b1) >>> 16 < keep;
  const logits = Array.from(state.bias);
  const gains: number[] = [];
  for (const [group, buckets] of features.entries()) {
    let count = 0;
    const sums = [0, 0, 0];
    for (const bucket of buckets) {
      if (!kept(bucket)) continue;
      count += 1;
      for (let head = 0; head < HEAD_COUNT; head += 1)
        sums[head] = (sums[head] as number) + (state.weights[bucket * HEAD_COUNT + head] as number);
    }
    const gain = count === 0 ? 0 : (GROUP_GAIN[group] as number) / Math.sqrt(count);
    gains.push(gain);
    for (let head = 0; head < HEAD_COUNT; head += 1)
      logits[head] = (logits[head] as number) + gain * (sums[head] as number);
  }
  const errors = softmaxErrors(logits, item);
  for (let head = 0; head < HEAD_COUNT; head += 1)
    state.bias[head] = (state.bias[head] as number) - 0.05 * options.rate * (errors[head] as number);
  for (const [group, buckets] of features.entries()) {
    const gain = gains[group] as number;
    for (const bucket of buckets) {
      if (!kept(bucket)) continue;
      for (let head = 0; head < HEAD_COUNT; head += 1) {
        const at = bucket * HEAD_COUNT + head;
        const weight = state.weights[at] as number;
        const slope = gain * (errors[head] as number);
        const squares = (state.squares[at] as number) + slope * slope;
        state.squares[at] = squares;
        state.weights[at] =
          weight - (options.rate * (slope + options.decay * weight)) / (Math.sqrt(squares) + 0.02);
      }
    }
  }
}

/** Chance minus truth for each head, times the item's weight. */
function softmaxErrors(logits: readonly number[], item: Item): readonly number[] {
  const largest = Math.max(0, ...logits);
  const powers = logits.map((logit) => Math.exp(logit - largest));
  const total = powers.reduce((sum, power) => sum + power, Math.exp(-largest));
  return powers.map((power, head) => item.weight * (power / total - (head === item.head ? 1 : 0)));
}

/** One signed byte a weight. A few very large weights are cut off, so that the many small ones keep their places. */
function quantise({ weights, bias }: FitState): TopicWeights {
  const scale = new Float32Array(HEAD_COUNT);
  const bytes = new Int8Array(weights.length);
  for (let head = 0; head < HEAD_COUNT; head += 1) {
    const sizes: number[] = [];
    for (let at = head; at < weights.length; at += HEAD_COUNT) {
      const size = Math.abs(weights[at] as number);
      if (size > 0) sizes.push(size);
    }
    sizes.sort((a, b) => a - b);
    const top = sizes[Math.floor(sizes.length * 0.9999)] ?? sizes[sizes.length - 1] ?? 1;
    scale[head] = top / 127;
    for (let at = head; at < weights.length; at += HEAD_COUNT) {
      const value = Math.round((weights[at] as number) / (scale[head] as number));
      bytes[at] = Math.max(-127, Math.min(127, value));
    }
  }
  return { bias, scale, bytes };
}
