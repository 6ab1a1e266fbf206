/** The local engine: what a request may ask reaches the scheduler and the answer. */
import { describe, expect, test } from "vitest";
import { tokenId } from "../../../engine/core/brand.ts";
import { BEGIN, END, tokensOf } from "../../support/scripted-lane-codec.ts";
import { readAll, STORY, settled, telling } from "../../support/scripted-lane-engine.ts";

describe("what a request may ask", () => {
  test("a chat goes through the template, without the tokenizer's own first token", async () => {
    const { answer, lane } = telling("yes");
    const { events } = await answer({
      prompt: { kind: "chat", messages: [{ role: "user", content: "hi" }] },
    });
    expect(events[0]).toEqual({ kind: "started", promptTokens: "<user>hi".length });
    expect(lane.plans[0]?.chunk?.tokens).toEqual(tokensOf("<user>hi"));
  });

  test("a text gets the first token that the model wants, tokens are taken as they are", async () => {
    const { answer, lane } = telling("yes");
    await answer({ prompt: "hi" });
    await answer({ prompt: { kind: "tokens", tokens: tokensOf("hi") } });
    const prompts = lane.plans.flatMap(({ chunk }) => (chunk === undefined ? [] : [chunk.tokens]));
    expect(prompts).toEqual([[BEGIN, ...tokensOf("hi")], tokensOf("hi")]);
  });

  test("ignore_eos goes on behind the end token", async () => {
    const { answer } = telling("ab");
    const { text, finished } = await answer({ maxTokens: 5, ignoreEos: true });
    expect({ text, reason: finished.reason }).toEqual({ text: "ab", reason: "length" });
    expect(finished.usage.completionTokens).toBe(5);
  });

  test("min_tokens holds back the end", async () => {
    const { answer } = telling("ab");
    const { text, finished } = await answer({ maxTokens: 9, minTokens: 4 });
    // The scripted lane says "-" where it may not end yet.
    expect({ text, reason: finished.reason }).toEqual({ text: "ab--", reason: "stop" });
  });

  test("a stop token ends the answer and is no part of it, also where end tokens are ignored", async () => {
    const { answer } = telling(STORY);
    const { text, finished } = await answer({
      maxTokens: 30,
      ignoreEos: true,
      stopTokenIds: tokensOf("r"),
    });
    expect({ text, reason: finished.reason }).toEqual({ text: "the", reason: "stop" });
    expect(finished.usage.completionTokens).toBe(4);
  });

  test("sampling, priority and time-out reach the scheduler as they are", async () => {
    const { ask, lane } = telling(STORY);
    lane.hold();
    const sampling = { temperature: 0.7, seed: 42, logitBias: [[tokenId(9), -100] as const] };
    void readAll(ask({ sampling, priority: 3, logprobs: 2 }));
    await settled();
    expect(lane.plans[0]?.openings[0]).toMatchObject({
      sampling,
      logprobs: 2,
      endTokens: [END],
      minTokens: 0,
    });
    lane.release();
  });
});
