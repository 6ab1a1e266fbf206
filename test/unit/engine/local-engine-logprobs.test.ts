/** The local engine: log-probabilities of answer and prompt. */
import { describe, expect, test } from "vitest";
import type { GenerationEvent } from "../../../engine/core/generator.ts";
import { BEGIN, BYTES, tokensOf } from "../../support/scripted-lane-codec.ts";
import { kinds, telling, textEvents } from "../../support/scripted-lane-engine.ts";

describe("log-probabilities and echo", () => {
  test("each token of the text has its own, with as many alternatives as asked", async () => {
    const { answer } = telling("abc");
    const { events, finished } = await answer({ logprobs: 2 });
    const told = textEvents(events).flatMap(({ logprobs }) => logprobs);
    expect(told.map(({ text }) => text)).toEqual(["a", "b", "c"]);
    expect(told.map(({ top }) => top.length)).toEqual([2, 2, 2]);
    // The end token was drawn too, and is no part of the text.
    expect(finished.usage.completionTokens).toBe(4);
    // The scripted lane's rule over five prompt tokens and "a".
    expect(told[0]?.logprob).toBe(-((5 * 7 + BYTES + 0x61) % 50) / 10);
  });

  test("echo gives the prompt once, before any text, with null for its first token", async () => {
    const { answer } = telling("abc");
    const { events } = await answer({ prompt: "hi!", echo: true, logprobs: 1, maxTokens: 2 });
    expect(kinds(events)).toEqual(["started", "prompt", "text", "text", "finished"]);
    const prompt = events[1] as Extract<GenerationEvent, { kind: "prompt" }>;
    expect(prompt).toMatchObject({ text: "hi!", tokens: [BEGIN, ...tokensOf("hi!")] });
    expect(prompt.logprobs?.map((item) => item?.text ?? null)).toEqual([null, "h", "i", "!"]);
    expect(prompt.logprobs?.[2]?.top).toHaveLength(1);
  });

  test("echo of tokens gives their text, and without log-probabilities nothing is scored", async () => {
    const { answer, lane } = telling("abc");
    const tokens = [BEGIN, ...tokensOf("hé")];
    const { events } = await answer({ prompt: { kind: "tokens", tokens }, echo: true });
    expect(events[1]).toEqual({ kind: "prompt", text: "hé", tokens, logprobs: undefined });
    expect(lane.plans[0]?.chunk?.score).toBeUndefined();
  });

  test("max_tokens 0 scores a prompt over several chunks and answers nothing", async () => {
    const { answer, lane } = telling("abc");
    const prompt = "p".repeat(40);
    const { events, finished } = await answer({ prompt, maxTokens: 0, echo: true, logprobs: 0 });
    expect(lane.plans.length).toBeGreaterThan(1);
    expect(kinds(events)).toEqual(["started", "prompt", "finished"]);
    expect((events[1] as { logprobs: readonly unknown[] }).logprobs).toHaveLength(41);
    expect(finished).toMatchObject({ reason: "length", usage: { promptTokens: 41, completionTokens: 0 } });
  });

  test("a prompt of a single token has no score but its null", async () => {
    const { answer } = telling("abc");
    const prompt = { kind: "tokens", tokens: tokensOf("h") } as const;
    const { events } = await answer({ prompt, echo: true, logprobs: 3, maxTokens: 1 });
    expect(events[1]).toMatchObject({ logprobs: [null] });
  });
});
