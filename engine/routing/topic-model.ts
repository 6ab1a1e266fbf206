/**
 * The topic model: a linear one over hashed features (topic-features.ts), with a head each for HR, private-person
 * content and chat logs, and public as what is left. It answers "what is this about" where no word or number alone
 * gives it away.
 *
 * Because it is linear, one pass over a conversation scores every run of its sentences: alone, in pairs, in fours and
 * so on up to the whole, so that a private sentence is not diluted by a long public text around it.
 *
 * The file: "WTOP", four bytes each (little-endian) of version, log2 of the buckets, heads and the check of the
 * features' code; bias and scale of each head as 32-bit floats; one signed byte a bucket and head; SHA-256 of all that.
 */
import { createHash } from "node:crypto";
import type { Topic, TopicModel, TopicVote } from "./topic.ts";
import { BUCKETS_LOG2, foldText, GROUPS, SegmentFeatures, segmentEnd } from "./topic-features.ts";
import type { TextPart } from "./walk.ts";

/** Public has no weights of its own: its logit is 0. */
export const HEADS = ["hr", "private", "chat-log"] as const satisfies readonly Topic[];
const HEAD_COUNT = HEADS.length;

/** How much a group says beside the words, before training. Part of the features: a change asks for a new model. */
export const GROUP_GAIN: readonly number[] = [1, 0.7, 1, 0.4];
const GROUP_COUNT = GROUPS.length;

const MAGIC = 0x504f5457;
const VERSION = 1;
const HEADER_BYTES = 20;
const DIGEST_BYTES = 32;
const BUCKETS = 1 << BUCKETS_LOG2;
export const MODEL_BYTES = HEADER_BYTES + 8 * HEAD_COUNT + HEAD_COUNT * BUCKETS + DIGEST_BYTES;

export interface TopicWeights {
  /** Of each head. */
  readonly bias: Float32Array;
  /** A byte's worth, of each head. */
  readonly scale: Float32Array;
  /** `[bucket * heads + head]`. */
  readonly bytes: Int8Array;
}

/** A model file that cannot be used: damaged, or of other code. Without a model everything counts as restricted. */
export class TopicModelError extends Error {
  override readonly name = "TopicModelError";
}

/** Bytes of a model file, of `MODEL_BYTES`. The same weights give the same bytes. */
export function writeTopicModel(weights: TopicWeights): Uint8Array {
  const file = new Uint8Array(MODEL_BYTES);
  const view = new DataView(file.buffer);
  const header = [MAGIC, VERSION, BUCKETS_LOG2, HEAD_COUNT, featureCheck()];
  for (const [index, value] of header.entries()) view.setUint32(4 * index, value, true);
  for (let head = 0; head < HEAD_COUNT; head += 1) {
    view.setFloat32(HEADER_BYTES + 4 * head, weights.bias[head] as number, true);
    view.setFloat32(HEADER_BYTES + 4 * (HEAD_COUNT + head), weights.scale[head] as number, true);
  }
  const start = HEADER_BYTES + 8 * HEAD_COUNT;
  new Int8Array(file.buffer, start, HEAD_COUNT * BUCKETS).set(weights.bytes);
  file.set(digest(file), MODEL_BYTES - DIGEST_BYTES);
  return file;
}

/**
 * The weights in a model file.
 * @throws TopicModelError where a byte is not as it was written, or the features' code is not that of the training.
 */
export function readTopicModel(file: Uint8Array): TopicWeights {
  const refuse = (why: string): never => {
    throw new TopicModelError(`The topic model ${why}. Put back the file that came with this version.`);
  };
  if (file.length !== MODEL_BYTES) refuse(`has ${file.length} bytes instead of ${MODEL_BYTES}`);
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (view.getUint32(0, true) !== MAGIC) refuse("does not begin as one");
  const stored = file.subarray(MODEL_BYTES - DIGEST_BYTES);
  if (!digest(file).every((byte, index) => byte === stored[index])) refuse("is damaged: its digest is wrong");
  const [version, log2, heads, check] = [4, 8, 12, 16].map((at) => view.getUint32(at, true));
  if (version !== VERSION || log2 !== BUCKETS_LOG2 || heads !== HEAD_COUNT) refuse("is of another version");
  if (check !== featureCheck()) refuse("was trained on other features than this code makes");
  const floats = (at: number): Float32Array =>
    Float32Array.from({ length: HEAD_COUNT }, (_, head) => view.getFloat32(at + 4 * head, true));
  const bias = floats(HEADER_BYTES);
  const scale = floats(HEADER_BYTES + 4 * HEAD_COUNT);
  if (![...bias, ...scale].every(Number.isFinite)) refuse("holds a number that is none");
  const start = file.byteOffset + HEADER_BYTES + 8 * HEAD_COUNT;
  return { bias, scale, bytes: new Int8Array(file.buffer, start, HEAD_COUNT * BUCKETS).slice() };
}

/**
 * The port of the classifier. Votes are for the sensitive topic that is likeliest anywhere, with the chance that this
 * place is not public and a pointer to it ("" where it spans parts), and for public with the chance that all is.
 */
export function createTopicModel(weights: TopicWeights): TopicModel {
  const scorer = new Scorer(weights);
  return {
    votes(parts: readonly TextPart[]): readonly TopicVote[] {
      const found = scorer.likeliest(parts.map((part) => part.text));
      const where = found.part === undefined ? "" : (parts[found.part]?.where ?? "");
      return [
        { topic: found.topic, score: found.score, where },
        { topic: "public", score: 1 - found.score, where: "" },
      ];
    },
  };
}

export interface Likeliest {
  readonly topic: (typeof HEADS)[number];
  /** 0..1: chance that this place is not public. */
  readonly score: number;
  /** Index of the text that it stands in; undefined where it spans several. */
  readonly part: number | undefined;
}

/** Doubling runs of sentences up to this many; then the whole. */
const RUN_MAX = 64;

/**
 * A run that is only a part of the whole must be surer, by this much of its logit a doubling of the whole over it: of
 * many runs in a long public text, one is likelier than not to look odd.
 */
const PART_PENALTY = 0.6;

class Scorer {
  readonly #weights: TopicWeights;
  readonly #features = new SegmentFeatures();

  constructor(weights: TopicWeights) {
    this.#weights = weights;
  }

  likeliest(texts: readonly string[]): Likeliest {
    const { sums, parts } = this.#segments(texts);
    const best = likeliestRun(sums, this.#weights.bias);
    const first = parts[best.from];
    return {
      topic: HEADS[best.head] as (typeof HEADS)[number],
      score: 1 / (1 + Math.exp(-best.logit)),
      part: first === parts[best.to - 1] ? first : undefined,
    };
  }

  /** Running sums over all segments, and the text that each segment is of. */
  #segments(texts: readonly string[]): { readonly sums: RunningSums; readonly parts: readonly number[] } {
    const features = this.#features;
    const { bytes, scale } = this.#weights;
    const sums: number[][] = [new Array<number>(ROW).fill(0)];
    const parts: number[] = [];
    for (const [index, raw] of texts.entries()) {
      const text = foldText(raw);
      for (let from = 0; from < text.length; ) {
        const to = segmentEnd(text, from);
        features.read(text, from, to);
        from = to;
        if (features.counts.every((count) => count === 0)) continue;
        sums.push(addSegment(sums[sums.length - 1] as number[], features, { bytes, scale }));
        parts.push(index);
      }
    }
    return { sums, parts };
  }
}

export interface Run {
  /** Segments `from` to `to`, exclusive. */
  readonly from: number;
  readonly to: number;
  /** Index of the likeliest head. */
  readonly head: number;
  /** Log of the odds that it is not public, less what parts have to be surer. */
  readonly logit: number;
}

/** The run of segments that is likeliest sensitive. Training asks for it too, to see public texts where they look worst. */
export function likeliestRun(sums: RunningSums, bias: Float32Array): Run {
  const total = sums.length - 1;
  const best = { logit: Number.NEGATIVE_INFINITY, head: 0, from: 0, to: 0 };
  const consider = (from: number, to: number): void => {
    const { head, logit } = runLogit(sums, from, to, bias);
    const less = PART_PENALTY * Math.log2(total / (to - from));
    if (logit - less > best.logit) Object.assign(best, { logit: logit - less, head, from, to });
  };
  if (total > 0) consider(0, total);
  for (let length = 1; length < total && length <= RUN_MAX; length *= 2) {
    const step = Math.max(1, length >> 1);
    for (let from = 0; from + length <= total; from += step) consider(from, from + length);
  }
  return best;
}

/** For each group: the sum of weights for each head, and the number of features. */
export const ROW_STRIDE = HEAD_COUNT + 1;
export const ROW = GROUP_COUNT * ROW_STRIDE;
/** Of all segments before each: one row more than there are segments. */
export type RunningSums = readonly (readonly number[])[];

function addSegment(
  before: readonly number[],
  features: SegmentFeatures,
  { bytes, scale }: Pick<TopicWeights, "bytes" | "scale">,
): number[] {
  const row = before.slice();
  for (let group = 0; group < GROUP_COUNT; group += 1) {
    const buckets = features.buckets[group] as Int32Array;
    const count = features.counts[group] as number;
    let hr = 0;
    let person = 0;
    let chat = 0;
    for (let at = 0; at < count; at += 1) {
      const offset = (buckets[at] as number) * HEAD_COUNT;
      hr += bytes[offset] as number;
      person += bytes[offset + 1] as number;
      chat += bytes[offset + 2] as number;
    }
    const base = group * ROW_STRIDE;
    row[base] = (row[base] as number) + hr * (scale[0] as number);
    row[base + 1] = (row[base + 1] as number) + person * (scale[1] as number);
    row[base + 2] = (row[base + 2] as number) + chat * (scale[2] as number);
    row[base + HEAD_COUNT] = (row[base + HEAD_COUNT] as number) + count;
  }
  return row;
}

/** log of (all sensitive chances / public chance) over the segments `from` to `to` (exclusive), and the likeliest head. */
function runLogit(
  sums: RunningSums,
  from: number,
  to: number,
  bias: Float32Array,
): { readonly head: number; readonly logit: number } {
  const low = sums[from] as readonly number[];
  const high = sums[to] as readonly number[];
  // Three variables and no list: this runs three times for each sentence of a text.
  let hr = bias[0] as number;
  let person = bias[1] as number;
  let chat = bias[2] as number;
  for (let group = 0; group < GROUP_COUNT; group += 1) {
    const base = group * ROW_STRIDE;
    const count = (high[base + HEAD_COUNT] as number) - (low[base + HEAD_COUNT] as number);
    if (count === 0) continue;
    const gain = (GROUP_GAIN[group] as number) / Math.sqrt(count);
    hr += gain * ((high[base] as number) - (low[base] as number));
    person += gain * ((high[base + 1] as number) - (low[base + 1] as number));
    chat += gain * ((high[base + 2] as number) - (low[base + 2] as number));
  }
  const largest = Math.max(hr, person, chat);
  return {
    head: hr === largest ? 0 : person === largest ? 1 : 2,
    logit: largest + Math.log(Math.exp(hr - largest) + Math.exp(person - largest) + Math.exp(chat - largest)),
  };
}

const digest = (file: Uint8Array): Uint8Array =>
  createHash("sha256")
    .update(file.subarray(0, MODEL_BYTES - DIGEST_BYTES))
    .digest();

/** A text with every kind of feature in it. Its buckets stand for the code that made them. */
const CHECK_TEXT = "[09:05] <Ana> Don’t pay 1,250!\n工资条 é: Ünïcode_under 漢字かな한글 x{y}=z;\nＦull";

function featureCheck(): number {
  const features = new SegmentFeatures();
  const text = foldText(CHECK_TEXT);
  let check = BUCKETS_LOG2;
  for (let from = 0; from < text.length; ) {
    const to = segmentEnd(text, from);
    features.read(text, from, to);
    for (const [group, buckets] of features.buckets.entries())
      for (let at = 0; at < (features.counts[group] as number); at += 1)
        check = Math.imul(check ^ (buckets[at] as number) ^ (group << 24), 0x01000193);
    from = to;
  }
  for (const gain of GROUP_GAIN) check = Math.imul(check ^ Math.round(gain * 1000), 0x01000193);
  return check >>> 0;
}
