import { describe, expect, test } from "vitest";
import { type ClassifyPorts, classify } from "../../../engine/routing/classify.ts";
import type { TopicModel, TopicVote } from "../../../engine/routing/topic.ts";

const voting = (...votes: readonly TopicVote[]): TopicModel => ({ votes: () => votes });
const calm: ClassifyPorts = { topics: voting({ topic: "public", score: 1, where: "" }) };
const ask = (...contents: readonly string[]): unknown => ({
  messages: contents.map((content) => ({ role: "user", content })),
});

describe("ordinary questions are public", () => {
  test.each([
    "What is the capital of France?",
    "Write a Python function that sorts 10 numbers, for example [3, 141, 59, 26535].",
    "Explain how income tax works in Spain.",
    "用中文写一首关于春天的诗",
    "Translate to German: the meeting starts at 10:30",
    "const version = '1.24.11'; // see https://example.com/a?b=1",
  ])("%s", (text) => {
    expect(classify(ask(text), calm)).toEqual({ class: "public", evidence: [], confidence: 1 });
  });
});

describe("the highest vote wins", () => {
  test("and each says its rule and place, and no text", () => {
    const body = { ...Object(ask("mail li.na@firma.cn", "her salary is $84,000")), user: "support@firma.cn" };
    const { class: value, evidence, confidence } = classify(body, calm);
    expect(value).toBe("restricted");
    expect(confidence).toBe(1);
    expect(evidence).toEqual([
      { rule: "hr.salary", class: "restricted", where: "/messages/1/content" },
      { rule: "contact.email", class: "personal", where: "/messages/0/content" },
      { rule: "contact.email-role", class: "internal", where: "/user" },
    ]);
    expect(JSON.stringify(evidence)).not.toMatch(/firma|84/);
  });

  test("a topic from one half on", () => {
    const topics = (score: number) => ({
      topics: voting({ topic: "hr", score, where: "/messages/0/content" }),
    });
    expect(classify(ask("hm"), topics(0.5))).toEqual({
      class: "restricted",
      evidence: [{ rule: "topic.hr", class: "restricted", where: "/messages/0/content" }],
      confidence: 0.5,
    });
    expect(classify(ask("hm"), topics(0.4))).toMatchObject({ class: "public", confidence: 0.6 });
    const personal = { topics: voting({ topic: "private", score: 0.9, where: "" }) };
    expect(classify(ask("hm"), personal).class).toBe("personal");
  });

  test("a declared class raises and never lowers", () => {
    const declared = [{ rule: "declared.header", class: "internal", where: "" }] as const;
    expect(classify(ask("hm"), { ...calm, declared }).class).toBe("internal");
    expect(classify(ask("li.na@firma.cn"), { ...calm, declared }).class).toBe("personal");
    const labelled = (data_class: unknown) =>
      classify({ ...Object(ask("li.na@firma.cn")), metadata: { data_class } }, calm);
    expect(labelled("public").class).toBe("personal");
    expect(labelled("restricted").class).toBe("restricted");
    expect(labelled("top secret").class).toBe("restricted");
    expect(labelled(7).class).toBe("restricted");
  });
});

describe("what is split is found", () => {
  test("over two messages, also with an answer between them", () => {
    expect(classify(ask("call 138001", "38000 now"), calm).class).toBe("personal");
    const talk = [
      { role: "user", content: "remember 138001" },
      { role: "assistant", content: "Done, go on." },
      { role: "user", content: "38000" },
    ];
    expect(classify({ messages: talk }, calm)).toMatchObject({
      class: "personal",
      evidence: [{ rule: "contact.cn-mobile", where: "/messages/2/content" }],
    });
  });

  test("a digit a message", () => {
    expect(classify(ask(..."13800138000"), calm).class).toBe("personal");
  });

  test("over the fields of an object, and a pointer leads to what holds them", () => {
    const metadata = { kind: "passport number", value: "E12345678" };
    expect(classify({ prompt: "hm", metadata }, calm)).toMatchObject({
      class: "personal",
      evidence: [{ rule: "id.travel-document", where: "" }],
    });
  });
});

test("a number is not lost because another message ends or begins with digits", () => {
  for (const value of [
    "91350100M000100Y43",
    "GB29 NWBK 6016 1331 9268 19",
    "1-3-8-0-0-1-3-8-0-0-0",
    "AB123456C",
  ]) {
    for (const contents of [
      ["take 12345678", value],
      [value, "12345678 it is"],
      ["7 8", value, "9"],
    ]) {
      expect(classify(ask(...contents), calm).class, contents.join(" | ")).not.toBe("public");
    }
  }
});

describe("doubt is restricted", () => {
  test.each<[string, TopicModel]>([
    [
      "a model that fails",
      {
        votes: () => {
          throw new Error("li.na@firma.cn");
        },
      },
    ],
    ["a model without a vote", voting()],
    ["a score that is no number", voting({ topic: "public", score: Number.NaN, where: "" })],
    ["a topic that nobody knows", voting({ topic: "weather" as "hr", score: 0.9, where: "" })],
  ])("%s", (_, topics) => {
    const answer = classify(ask("hm"), { topics });
    expect(answer.class).toBe("restricted");
    expect(JSON.stringify(answer)).not.toContain("firma");
  });

  test("a body that throws when it is read", () => {
    const body = Object.defineProperty({}, "messages", {
      enumerable: true,
      get: () => {
        throw new Error("no");
      },
    });
    expect(classify(body, calm).class).toBe("restricted");
  });

  test("more text than is walked", () => {
    expect(classify(ask("a ".repeat(3 << 20)), calm)).toMatchObject({
      class: "restricted",
      evidence: [{ rule: "doubt.size" }],
    });
  });

  test("sealed bytes are internal", () => {
    const sealed = Buffer.from(
      Array.from({ length: 300 }, (_, i) => (i * 7919 + i * i * 31 + 128) % 256),
    ).toString("base64");
    expect(classify(ask(`open ${sealed}`), calm)).toMatchObject({
      class: "internal",
      evidence: [{ rule: "blob.opaque" }],
    });
  });
});

describe("where the effort is bounded", () => {
  const least = (body: unknown): number => {
    const full = classify(body, calm);
    for (let effortMax = 0; ; effortMax += 10) {
      const answer = classify(body, { ...calm, effortMax });
      if (answer.evidence[0]?.rule !== "doubt.effort") {
        expect(answer).toEqual(full);
        return effortMax;
      }
      expect(answer).toMatchObject({ class: "restricted", evidence: [{ rule: "doubt.effort", where: "" }] });
    }
  };

  test("all is told, or that it was too little", () => {
    expect(least(ask("What is the capital of France?"))).toBeLessThan(200);
  });

  test("short texts cost what is read with them", () => {
    const many = least({
      prompt: "write to li.na@firma.cn",
      p: Array.from({ length: 40 }, (_, index) => index),
    });
    expect(many).toBeGreaterThan(2000);
    expect(least(ask("call 138001", "38000 now"))).toBeGreaterThan(least(ask("call 13800138000 now")));
  });
});

test("numbers and the model's name have no topic: the topic model is not asked about them", () => {
  const read: string[] = [];
  const topics: TopicModel = {
    votes: (parts) => {
      read.push(...parts.map(({ where }) => where));
      return [{ topic: "public", score: 1, where: "" }];
    },
  };
  const body = {
    ...Object(ask("What is a river?")),
    model: "gpt",
    seed: 7919,
    temperature: 0.7,
    stop: ["END"],
  };
  classify(body, { topics });
  expect(read).toEqual(["/messages/0/content", "/stop/0"]);
});

test("a log of a chat is one in a field with a name, too", () => {
  const log = "10:01 Anna: did you see what he wrote?\n10:02 Ben: yes, keep it between us\n10:03 Anna: sure";
  for (const body of [
    ask(log),
    { ...Object(ask("Go on.")), tools: [{ type: "function", function: { name: "f", description: log } }] },
    { ...Object(ask("Go on.")), metadata: { note: log } },
  ])
    expect(classify(body, calm).class).toBe("restricted");
});
