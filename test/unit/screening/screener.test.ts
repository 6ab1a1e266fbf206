import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { afterEach, describe, expect, test } from "vitest";
import type { Evidence } from "../../../engine/core/evidence.ts";
import { VIEW_BOUNDS } from "../../../engine/routing/canonical.ts";
import { classify } from "../../../engine/routing/classify.ts";
import { createTopicModel, readTopicModel } from "../../../engine/routing/topic-model.ts";
import {
  createScreener,
  SCREENING_FAILED,
  type Screener,
  type ScreenerOptions,
  type ScreenerPorts,
  type ScreeningFault,
} from "../../../engine/screening/screener.ts";

const MODEL = new URL("../../../engine/routing/topic-model.bin", import.meta.url).pathname;
const FAULTY = new URL("../../support/faulty.worker.ts", import.meta.url);
const CARD = { messages: [{ role: "user", content: "Charge 4111111111111111 for the room" }] };
const PLAIN = { messages: [{ role: "user", content: "Why is the sky blue?" }] };
const LARGE = 1_000_000;

const open: Screener[] = [];
const faults: ScreeningFault[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((screener) => screener.close()));
  faults.length = 0;
});

function screenerOf(options: Partial<ScreenerOptions> = {}, ports: ScreenerPorts = {}): Screener {
  const bounds = { inlineCharactersMax: 1000, timeoutMs: 10_000, memoryMb: 128, queueMax: 4 };
  const screener = createScreener(
    { topicModel: MODEL, ...bounds, ...options },
    { onFault: (fault) => faults.push(fault), ...ports },
  );
  open.push(screener);
  return screener;
}

describe("a body", () => {
  test("has the class and evidence that the classifier gives, here and on a thread", async () => {
    const topics = createTopicModel(readTopicModel(readFileSync(MODEL)));
    const screener = screenerOf();
    for (const body of [CARD, PLAIN, undefined, 7, { messages: "x" }, { prompt: undefined, n: 1n }]) {
      for (const size of [10, LARGE, Number.NaN]) {
        expect(await screener.classify(body, [], size)).toEqual(classify(body, { topics }));
      }
    }
    expect(faults).toEqual([]);
  });

  test("has at least the class that was declared, here and on a thread", async () => {
    const screener = screenerOf();
    const declared: Evidence[] = [{ rule: "declared.key:HR bot", class: "personal", where: "" }];
    for (const size of [10, LARGE]) {
      const found = await screener.classify(PLAIN, declared, size);
      expect(found).toMatchObject({ class: "personal", evidence: declared });
    }
  });

  test("that unpacks to a book is handed to a thread, small as it is", async () => {
    const book = "The bridge was finished in 1932, and a train crosses it every day. ".repeat(300);
    const prompt = `Read this: ${gzipSync(`${book} My card is 4111111111111111.`).toString("base64")}`;
    const screener = screenerOf();
    const found = await screener.classify({ prompt }, [], prompt.length);
    expect(prompt.length).toBeLessThan(1000);
    expect(found.evidence.map(({ rule }) => rule)).toEqual(["id.card", "blob.opaque"]);
    const sizes: number[] = [];
    const inlineOnly = screenerOf(
      {},
      { classifyInline: (_, { views }) => void sizes.push(views?.addedMax ?? 0) },
    );
    await inlineOnly.classify(PLAIN, [], 10);
    expect(sizes).toEqual([500]);
    expect(VIEW_BOUNDS.addedMax).toBeGreaterThan(1000);
  });

  const numbers = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index);
  const mail = { role: "user", content: "Write to li.na@firma.cn" };
  test.each<[string, unknown]>([
    ["thousands of digits", { messages: [mail], p: numbers(7000).map((value) => value % 10) }],
    ["a long name over many values", { messages: [mail], ["n ".repeat(2000)]: numbers(250) }],
    ["JSON in strings", { messages: [mail], p: JSON.stringify({ a: JSON.stringify(numbers(2500)) }) }],
    [
      "many parts",
      { messages: [{ ...mail, content: Array(280).fill({ type: "text", text: mail.content }) }] },
    ],
  ])("of 16 kB with %s holds the caller's thread for less than 50 ms", async (_, body) => {
    const size = JSON.stringify(body).length;
    expect(size).toBeLessThanOrEqual(16_384);
    const screener = screenerOf({ inlineCharactersMax: 16_384 });
    const topics = createTopicModel(readTopicModel(readFileSync(MODEL)));
    const expected = classify(body, { topics });
    let held = Number.POSITIVE_INFINITY;
    for (let attempt = 0; attempt < 3 && held >= 50; attempt += 1) {
      // Processor time of what runs before the first wait, which is all that this thread does before the answer.
      const start = process.threadCpuUsage();
      const answer = screener.classify(body, [], size);
      const { user, system } = process.threadCpuUsage(start);
      held = Math.min(held, (user + system) / 1000);
      expect(await answer).toEqual(expected);
    }
    expect(held).toBeLessThan(50);
    expect(faults).toEqual([]);
  });

  test("of a megabyte holds the caller's thread for less than 10 ms", async () => {
    const screener = screenerOf();
    await screener.warm();
    const sentence = "Could you compare the two plans and say which one is cheaper over ten years? ";
    const body = { messages: [{ role: "user", content: sentence.repeat(LARGE / sentence.length) }] };
    const held: number[] = [];
    // The machine has other work too: the least of a few tries is what the screener itself takes.
    for (let attempt = 0; attempt < 5; attempt += 1) {
      let longest = 0;
      let last = performance.now();
      const timer = setInterval(() => {
        longest = Math.max(longest, performance.now() - last);
        last = performance.now();
      }, 0);
      expect((await screener.classify(body, [], LARGE)).class).toBe("public");
      longest = Math.max(longest, performance.now() - last);
      clearInterval(timer);
      held.push(longest);
    }
    expect(Math.min(...held)).toBeLessThan(10);
  });
});

describe("what goes wrong is restricted and no exception:", () => {
  const wrong = async (screener: Screener, body: unknown, size: number, fault: ScreeningFault) => {
    expect(await screener.classify(body, [], size)).toEqual(SCREENING_FAILED);
    expect(faults).toEqual([fault]);
    faults.length = 0;
  };
  const faulty = (options: Partial<ScreenerOptions> = {}) => screenerOf(options, { worker: FAULTY });
  /** It works again afterwards. */
  const recovered = async (screener: Screener) => {
    await expect
      .poll(async () => (await screener.classify({ prompt: "works" }, [], LARGE)).evidence, { timeout: 9000 })
      .toMatchObject([{ rule: "id.card" }]);
  };

  test("a classifier that throws here", async () => {
    const classifyInline = (): never => {
      throw new Error("x");
    };
    const screener = screenerOf({}, { classifyInline });
    await wrong(screener, PLAIN, 10, "inline");
    expect(await screener.judgeBytes(Buffer.from("{}"))).toBe("restricted");
  });

  test("a thread that throws", async () => {
    const screener = faulty();
    await wrong(screener, { prompt: "throws" }, LARGE, "thread");
    await recovered(screener);
  });

  test.each(["spins", "sleeps"])("a thread that %s over its time, which is then replaced", async (prompt) => {
    const screener = faulty({ timeoutMs: 700 });
    await screener.warm();
    const start = performance.now();
    await wrong(screener, { prompt }, LARGE, "timeout");
    expect(performance.now() - start).toBeLessThan(2000);
    await recovered(screener);
  });

  test("a thread that ends", async () => {
    const screener = faulty();
    await wrong(screener, { prompt: "exits" }, LARGE, "thread");
    await recovered(screener);
  });

  test("a thread that runs out of its memory", async () => {
    const greedy = { prompt: "takes 200 MiB" };
    expect((await faulty({ memoryMb: 400 }).classify(greedy, [], LARGE)).evidence).toHaveLength(1);
    const screener = faulty({ memoryMb: 64 });
    await wrong(screener, greedy, LARGE, "thread");
    await recovered(screener);
  });

  test("a thread that cannot start", async () => {
    const worker = new URL("../../support/no-such.worker.ts", import.meta.url);
    const screener = screenerOf({ timeoutMs: 300 }, { worker });
    for (let attempt = 0; attempt < 2; attempt += 1) {
      expect(await screener.classify(PLAIN, [], LARGE)).toEqual(SCREENING_FAILED);
    }
    expect(faults).toContain("thread");
    expect((await screener.classify(PLAIN, [], 10)).class).toBe("public");
  });

  test("a queue that is full", async () => {
    const screener = faulty({ queueMax: 1, timeoutMs: 700 });
    await screener.warm();
    const running = [1, 2, 3].map(() => screener.classify({ prompt: "sleeps" }, [], LARGE));
    await sleep(50);
    await wrong(screener, { prompt: "works" }, LARGE, "queue_full");
    expect(await Promise.all(running)).toEqual([SCREENING_FAILED, SCREENING_FAILED, SCREENING_FAILED]);
    faults.length = 0;
    await recovered(screener);
  });

  test("a body that cannot be copied to a thread", async () => {
    const screener = screenerOf();
    await wrong(screener, { prompt: "x", f: () => 1 }, LARGE, "thread");
    expect((await screener.classify(PLAIN, [], LARGE)).class).toBe("public");
  });

  test("a body with getters that throw", async () => {
    const body = Object.defineProperty({ prompt: "x" }, "y", {
      enumerable: true,
      get: () => {
        throw new Error("y");
      },
    });
    const screener = screenerOf();
    await wrong(screener, body, LARGE, "thread");
    expect((await screener.classify(body, [], 10)).class).toBe("restricted");
  });

  const card: Evidence = { rule: "id.card", class: "restricted", where: "" };
  test.each([
    ["nothing", undefined],
    ["a class alone", { class: "public" }],
    ["a class that is none", { class: "secret", evidence: [], confidence: 1 }],
    ["a prototype's name as class", { class: "toString", evidence: [], confidence: 1 }],
    ["no number for its confidence", { class: "public", evidence: [], confidence: Number.NaN }],
    ["a confidence above one", { class: "public", evidence: [], confidence: 2 }],
    ["no list of evidence", { class: "public", evidence: { length: 0 }, confidence: 1 }],
    ["evidence that is none", { class: "public", evidence: [null], confidence: 1 }],
    ["evidence above its class", { class: "public", evidence: [card], confidence: 1 }],
    ["evidence below its class", { class: "restricted", evidence: [], confidence: 1 }],
    ["text for a rule", { class: "restricted", evidence: [{ ...card, rule: "Ann, 44" }], confidence: 1 }],
    [
      "text for a pointer",
      { class: "restricted", evidence: [{ ...card, where: "/metadata/Ann" }], confidence: 1 },
    ],
    ["no pointer", { class: "restricted", evidence: [{ ...card, where: 7 }], confidence: 1 }],
    [
      "more evidence than there can be",
      { class: "restricted", evidence: Array(65).fill(card), confidence: 1 },
    ],
  ])("an answer with %s, here and on a thread", async (_, answer) => {
    await wrong(faulty(), { prompt: "answers", answer }, LARGE, "answer");
    await wrong(screenerOf({}, { classifyInline: () => answer }), PLAIN, 10, "answer");
  });

  test("an answer below what was declared", async () => {
    const declared: Evidence[] = [{ rule: "declared.header", class: "internal", where: "" }];
    const answer = { class: "public", evidence: [], confidence: 1 };
    const screener = faulty();
    expect(await screener.classify({ prompt: "answers", answer }, declared, LARGE)).toEqual(SCREENING_FAILED);
    expect((await screener.classify({ prompt: "answers", answer }, [], LARGE)).class).toBe("public");
  });

  test("a topic model that is damaged, not there, or of another kind", async () => {
    const damaged = new Uint8Array(readFileSync(MODEL));
    damaged[5000] = (damaged[5000] as number) ^ 1;
    for (const topicModel of [damaged, new Uint8Array(0), `${MODEL}.none`]) {
      const screener = screenerOf({ topicModel });
      expect(faults.splice(0)).toEqual(["topic_model"]);
      await screener.warm();
      for (const size of [10, LARGE]) {
        expect(await screener.classify(PLAIN, [], size)).toEqual(SCREENING_FAILED);
      }
      expect(await screener.judgeBytes(Buffer.from('{"a":1}'))).toBe("restricted");
    }
  });

  test("a screener that was closed, and closed while it worked", async () => {
    const screener = faulty();
    await screener.warm();
    const running = screener.classify({ prompt: "sleeps" }, [], LARGE);
    await sleep(20);
    await screener.close();
    expect(await running).toEqual(SCREENING_FAILED);
    expect(await screener.classify({ prompt: "works" }, [], LARGE)).toEqual(SCREENING_FAILED);
    expect(faults).toEqual([]);
  });
});

describe("bytes that are about to leave", () => {
  const bytesOf = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
  const padding = "Why is the sky blue? ".repeat(100);

  test("are public where all in them is, and else of the class of what they hold", async () => {
    const screener = screenerOf();
    for (const more of ["", padding]) {
      expect(await screener.judgeBytes(bytesOf({ ...PLAIN, more }))).toBe("public");
      expect(await screener.judgeBytes(bytesOf({ ...CARD, more }))).toBe("personal");
      expect(await screener.judgeBytes(bytesOf({ ...PLAIN, "4111111111111111": more }))).toBe("personal");
      expect(await screener.judgeBytes(bytesOf({ a: [more, { b: JSON.stringify(CARD) }] }))).toBe("personal");
    }
    expect(faults).toEqual([]);
  });

  test("are judged without the vendors' own words, whatever the seed, and with everything else", async () => {
    const screener = screenerOf();
    const question = { role: "user", content: "What is the capital of Norway?" };
    for (let seed = 0; seed < 50; seed += 1) {
      const body = {
        model: "gpt-4.1-mini",
        stream: true,
        seed: seed * 997,
        messages: [question],
        max_tokens: seed,
      };
      expect(await screener.judgeBytes(bytesOf(body)), `seed ${body.seed}`).toBe("public");
    }
    // What stands where a word of theirs is expected, and is none, is read.
    const card = "4111111111111111";
    for (const body of [
      { model: `card ${card}` },
      { messages: [{ ...question, role: card }] },
      { tools: [{ type: card }] },
    ])
      expect(await screener.judgeBytes(bytesOf({ messages: [question], ...body }))).toBe("personal");
  });

  test.each([
    ["no JSON", "hello"],
    ["nothing", ""],
    ["two values", "{}{}"],
    ["a field twice, of which one reader sees the first", '{"a":"4111111111111111","a":"x"}'],
    ["blanks that we do not write", '{"a": 1}'],
    ["a mark at the beginning", '\ufeff{"a":1}'],
    ["bytes that are no UTF-8", Buffer.from([0x22, 0xff, 0x22])],
    ["a body that was cut", '{"a":"x'],
  ])("are restricted where they are %s", async (_, bytes) => {
    const screener = screenerOf({ inlineCharactersMax: 40 });
    expect(await screener.judgeBytes(Buffer.from(bytes))).toBe("restricted");
  });

  test("are restricted on a thread too where they cannot be read, and no other bytes go along", async () => {
    const screener = screenerOf({ inlineCharactersMax: 0 });
    expect(await screener.judgeBytes(Buffer.from('{"a": 1}'))).toBe("restricted");
    const pool = Buffer.from(`${JSON.stringify(CARD)}{"a":1}`);
    expect(await screener.judgeBytes(pool.subarray(-7))).toBe("public");
    expect(pool.toString()).toContain("4111");
  });
});
