/** The local engine: answers end before a stop string. */
import { describe, expect, test } from "vitest";
import { STORY, settled, telling, textEvents } from "../../support/scripted-lane-engine.ts";

describe("stop strings", () => {
  test.each([
    ["river", "there was a "],
    ["r that", "there was a rive"],
    ["there", ""],
    ["e", "th"],
  ])("%j ends the answer before it, across the borders of tokens", async (stop, expected) => {
    const { answer } = telling(STORY);
    const { text, finished, events } = await answer({ maxTokens: 40, stop: [stop] });
    expect({ text, reason: finished.reason }).toEqual({ text: expected, reason: "stop" });
    expect(textEvents(events).every((event) => expected.includes(event.text))).toBe(true);
  });

  test("end the work in the same step, and the slot is free for the next", async () => {
    const { answer, lane, load } = telling(STORY);
    const { finished } = await answer({ maxTokens: 40, stop: ["ver"] });
    await settled();
    expect(lane.plans).toHaveLength("there was a river".length);
    expect(finished.usage.completionTokens).toBe("there was a river".length);
    expect(load()).toBe(0);
    await answer({ maxTokens: 1 });
    // The worker was told to forget the first, and then the second.
    expect(lane.known).toHaveLength(1);
  });

  test("that are complete with the last allowed token count as stop, not as length", async () => {
    const { answer } = telling(STORY);
    const { text, finished } = await answer({ maxTokens: 5, stop: ["ere"] });
    expect({ text, reason: finished.reason }).toEqual({ text: "th", reason: "stop" });
  });

  test.each([
    [0, "there was a "],
    [13, "there was a "],
    [16, "there was a "],
    [17, "there was a river that ran to the sea and back again"],
  ])("that are complete within the first %d tokens do not end the answer", async (minTokens, expected) => {
    const { answer } = telling(STORY);
    const { text, finished, events } = await answer({ maxTokens: 60, stop: ["river"], minTokens });
    expect({ text, reason: finished.reason }).toEqual({ text: expected, reason: "stop" });
    const told = textEvents(events).flatMap(({ tokens }) => tokens);
    expect(told).toHaveLength(expected.length);
  });

  test("that come again behind min_tokens end the answer there", async () => {
    const { answer } = telling(STORY);
    const { text } = await answer({ maxTokens: 60, stop: ["e"], minTokens: 20 });
    expect(text).toBe("there was a river that ran to th");
  });

  test("that never come leave nothing behind", async () => {
    const { answer } = telling("a rive");
    expect((await answer({ maxTokens: 20, stop: ["river", "eve"] })).text).toBe("a rive");
  });
});
