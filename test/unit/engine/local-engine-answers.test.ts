/** The local engine: what an answer is, alone and among others. */
import { describe, expect, test } from "vitest";
import type { GenerationEvent } from "../../../engine/core/generator.ts";
import { BEGIN, byteCard, textOf, tokensOf } from "../../support/scripted-lane-codec.ts";
import {
  kinds,
  readAll,
  requestOf,
  STORY,
  scriptedEngine,
  settled,
  telling,
  textEvents,
} from "../../support/scripted-lane-engine.ts";

describe("an answer", () => {
  test("begins with started, streams its text token by token, and ends with finished", async () => {
    const { lane, ask } = telling(STORY);
    lane.hold();
    const iterator = ask({ maxTokens: 5 })[Symbol.asyncIterator]();
    expect(await iterator.next()).toEqual({ done: false, value: { kind: "started", promptTokens: 5 } });
    lane.release();
    const seen: GenerationEvent[] = [];
    for (let step = await iterator.next(); !step.done; step = await iterator.next()) seen.push(step.value);
    expect(kinds(seen)).toEqual(["text", "text", "text", "text", "text", "finished"]);
    expect(textEvents(seen).map(({ text }) => text)).toEqual(["t", "h", "e", "r", "e"]);
  });

  test("that is full ends with length; one that the model ends, with stop and without the end token's text", async () => {
    const { answer } = telling("the end");
    expect((await answer({ maxTokens: 3 })).finished.reason).toBe("length");
    const whole = await answer({ maxTokens: 30 });
    expect(whole).toMatchObject({ text: "the end", finished: { reason: "stop" } });
    expect(whole.finished.usage).toMatchObject({ promptTokens: 5, completionTokens: 8, cachedTokens: 0 });
  });

  test("without max_tokens goes on to the end of the context", async () => {
    const { answer } = telling("x".repeat(500));
    const { finished, text } = await answer({ prompt: "Once", maxTokens: undefined });
    expect({ reason: finished.reason, length: text.length }).toEqual({ reason: "length", length: 64 - 5 });
  });

  test("never sends half a character", async () => {
    const { lane, ask } = telling("é🌊.");
    const seen: string[] = [];
    for await (const event of ask({ maxTokens: 20 })) if (event.kind === "text") seen.push(event.text);
    expect(seen.filter((text) => text !== "")).toEqual(["é", "🌊", "."]);
    expect(lane.plans).toHaveLength(8);
  });

  test("that ends inside a character says so with U+FFFD", async () => {
    const { answer } = telling("a🌊");
    expect((await answer({ maxTokens: 3 })).text).toBe("a\ufffd");
  });

  test("has its own times on the clock: queue, prefill, decode", async () => {
    const { ask, lane, clock } = telling(STORY);
    lane.hold();
    const first = readAll(ask({ maxTokens: 2 }));
    await settled();
    clock.advance(7);
    lane.release();
    const { usage } = (await first).finished;
    expect(usage).toMatchObject({ queueMs: 0, prefillMs: 7, decodeMs: 0 });
  });
});

describe("several requests at once", () => {
  test("get the text that each gets alone, and the snapshots stay sound", async () => {
    const prompts = ["a", "bb", "ccc", "dddd", "eeeee", "ffffff", "ggggggg"];
    const alone = [];
    for (const prompt of prompts) {
      alone.push((await scriptedEngine().answer({ prompt, maxTokens: 20, ignoreEos: true })).text);
    }
    const { answer, breaches, lane } = scriptedEngine({ limits: { rowsMax: 3 } });
    const together = prompts.map((prompt) => answer({ prompt, maxTokens: 20, ignoreEos: true }));
    const texts = (await Promise.all(together)).map(({ text }) => text);
    expect(texts).toEqual(alone);
    expect(new Set(alone).size).toBe(prompts.length);
    expect(Math.max(...lane.plans.map(({ decode }) => decode.length))).toBe(3);
    expect(breaches()).toEqual([]);
  });
});

test("tokenize and detokenize go through the codec", () => {
  const { engine } = telling("");
  expect(engine.tokenize("hi", true)).toEqual([BEGIN, ...tokensOf("hi")]);
  expect(engine.detokenize(tokensOf("hé"))).toBe(textOf(tokensOf("hé")));
  expect(requestOf().model).toBe(byteCard.name);
});
