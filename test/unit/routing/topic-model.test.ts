/** The model file: what is written is read again, and what is damaged is refused. What the shipped one knows. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { BUCKETS_LOG2, foldText, SegmentFeatures } from "../../../engine/routing/topic-features.ts";
import {
  createTopicModel,
  HEADS,
  MODEL_BYTES,
  readTopicModel,
  TopicModelError,
  type TopicWeights,
  writeTopicModel,
} from "../../../engine/routing/topic-model.ts";
import type { TextPart } from "../../../engine/routing/walk.ts";

const SHIPPED = new URL("../../../engine/routing/topic-model.bin", import.meta.url);

const parts = (...texts: readonly string[]): readonly TextPart[] =>
  texts.map((text, index) => ({ where: `/messages/${index}/content`, text, role: "user", kind: "message" }));

/** Says public to everything but the word, which it puts under the head. */
function knowing(word: string, head: (typeof HEADS)[number]): TopicWeights {
  const bytes = new Int8Array(HEADS.length << BUCKETS_LOG2);
  const features = new SegmentFeatures();
  const text = foldText(word);
  features.read(text, 0, text.length);
  bytes[(features.buckets[0]?.[0] ?? 0) * HEADS.length + HEADS.indexOf(head)] = 127;
  return { bias: Float32Array.of(-4, -4, -4), scale: Float32Array.of(0.25, 0.25, 0.25), bytes };
}

const file = writeTopicModel(knowing("wages", "hr"));
const resealed = (change: (file: Uint8Array) => void): Uint8Array => {
  const copy = file.slice();
  change(copy);
  copy.set(createHash("sha256").update(copy.subarray(0, -32)).digest(), copy.length - 32);
  return copy;
};

describe("the file", () => {
  test("gives back what was written, in at most 1 MB", () => {
    expect(readTopicModel(file)).toEqual(knowing("wages", "hr"));
    expect(file).toHaveLength(MODEL_BYTES);
    expect(MODEL_BYTES).toBeLessThanOrEqual(1 << 20);
  });

  test("is read from the middle of a larger buffer too", () => {
    const larger = new Uint8Array(MODEL_BYTES + 3);
    larger.set(file, 3);
    expect(readTopicModel(larger.subarray(3))).toEqual(knowing("wages", "hr"));
  });

  test.each<[string, Uint8Array, RegExp]>([
    ["empty", new Uint8Array(0), /0 bytes/],
    ["cut short", file.subarray(0, MODEL_BYTES - 1), /bytes instead of/],
    ["longer", new Uint8Array([...file, 0]), /bytes instead of/],
    ["something else", new Uint8Array(MODEL_BYTES), /begin/],
    ["changed in one weight", flipped(50_000), /damaged/],
    ["changed in its digest", flipped(MODEL_BYTES - 1), /damaged/],
    ["changed in a bias", flipped(21), /damaged/],
    ["of another version", resealed((copy) => copy.fill(9, 4, 5)), /another version/],
    ["of other features", resealed((copy) => copy.fill(9, 16, 20)), /other features/],
    [
      "not a number",
      resealed((copy) => new DataView(copy.buffer).setFloat32(20, Number.NaN, true)),
      /number/,
    ],
  ])("that is %s is refused", (_, bytes, why) => {
    expect(() => readTopicModel(bytes)).toThrow(TopicModelError);
    expect(() => readTopicModel(bytes)).toThrow(why);
  });
});

function flipped(at: number): Uint8Array {
  const copy = file.slice();
  copy[at] = (copy[at] as number) ^ 1;
  return copy;
}

describe("votes", () => {
  const model = createTopicModel(knowing("wages", "hr"));
  const filler = "Rivers run to the sea and clouds bring the water back to the hills again. ";

  test("name the topic, the place and what is left for public", () => {
    const [vote, rest] = model.votes(parts(filler, "wages"));
    expect(vote).toMatchObject({ topic: "hr", where: "/messages/1/content" });
    expect(vote?.score).toBeGreaterThan(0.5);
    expect(rest).toEqual({ topic: "public", score: 1 - (vote?.score ?? 0), where: "" });
  });

  test("are low without cause, and for no text at all", () => {
    expect(model.votes(parts(filler))[0]?.score).toBeLessThan(0.1);
    expect(model.votes([])[0]?.score).toBeLessThan(0.5);
    expect(model.votes(parts(""))[0]?.score).toBeLessThan(0.5);
  });

  test("find a telling sentence within a long public text", () => {
    const sentence = "wages wages wages wages wages wages wages wages wages wages wages. ";
    const [vote] = model.votes(parts(filler.repeat(20) + sentence + filler.repeat(20)));
    expect(vote?.score).toBeGreaterThan(0.5);
  });

  test("point to no part where only several together say it", () => {
    const hint = "a b c d wages";
    expect(model.votes(parts(hint, hint, hint, hint))[0]).toMatchObject({ topic: "hr", where: "" });
  });
});

describe("the shipped model", () => {
  const model = createTopicModel(readTopicModel(readFileSync(SHIPPED)));
  const sensitive = (text: string): boolean => (model.votes(parts(text))[0]?.score ?? 1) >= 0.5;

  test.each([
    "How many vacation days do I have left this year?",
    "My payslip for March is wrong, the overtime is missing.",
    "I want to complain about my supervisor, she bullies me in front of the team.",
    "Please write a warning letter for an employee who is always late.",
    "When is my probation period over and who signs my new contract?",
    "Can I get parental leave from June and work part time afterwards?",
    "我还剩几天年假？",
    "这个月的工资条不对，加班费没有算。",
    "我要投诉主管在部门会议上骂我。",
    "给经常迟到的员工写一封警告信。",
    "我的试用期什么时候结束，可以提前转正吗？",
    "我想辞职，离职证明怎么开？",
    "my boss yells at me",
  ])("takes for HR: %s", (text) => {
    expect(sensitive(text)).toBe(true);
  });

  test.each([
    ...["my wife left me", "my son was arrested", "I have cancer and nobody knows", "my ex keeps texting me"],
    ...["我老公出轨了", "我被诊断出抑郁症", "房东要赶我们走"],
  ])("takes for somebody's own matter, short as it is: %s", (text) => {
    expect(sensitive(text)).toBe(true);
  });

  test.each([
    "What is the capital of Portugal?",
    "Write a Python function that reverses a linked list.",
    "How do I bake sourdough bread without a Dutch oven?",
    "Explain photosynthesis to a ten-year-old.",
    "Plan a three-day trip to Rome with two museums a day.",
    "A train travels 120 km in 90 minutes. What is its average speed?",
    "法国的首都是哪里？",
    "用Python写一个快速排序。",
    "红烧肉怎么做才好吃？",
    "什么是光合作用？",
    "帮我写一首关于秋天的诗。",
    "小明有五个苹果，吃了两个，还剩几个？",
    // First words pin a conversation where they are taken for private, and with it every one that begins alike.
    ...[
      "hello",
      "Hello!",
      "hi",
      "Hi!",
      "hey",
      "hi there",
      "Good morning",
      "thanks",
      "Thank you!",
      "ok",
      "bye",
    ],
    ...[
      "yes please",
      "no thanks",
      "go on",
      "continue",
      "again",
      "why?",
      "in French?",
      "shorter",
      "hi 👋",
      "🙂",
    ],
    ...["你好", "您好！", "嗨", "早上好", "谢谢", "好的", "嗯", "继续", "为什么", "再见"],
    "Please look at the attached case.",
    "our shops are open from nine to six on weekdays",
    "Translate this into German.",
    "Fix my code.",
  ])("takes for public: %s", (text) => {
    expect(sensitive(text)).toBe(false);
  });
});
