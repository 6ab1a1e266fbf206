import { expect, test } from "vitest";
import { AnswerState } from "../../../engine/cloud/answer-state.ts";

const times = { startedAt: 10, firstAt: 25, endedAt: 65 };

test("takes the counts that a backend gives, and measures the times itself", () => {
  const state = new AnswerState(400);
  state.said("abc");
  state.count({ prompt: 9, cached: 4 });
  state.count({ completion: 2 });
  expect(state.usage(times)).toEqual({
    ...{ promptTokens: 9, cachedTokens: 4, completionTokens: 2 },
    ...{ queueMs: 0, prefillMs: 15, decodeMs: 40 },
  });
});

test("counts from lengths what is missing, and says so", () => {
  const state = new AnswerState(400);
  state.said("é".repeat(10));
  state.count({ prompt: 9 });
  expect(state.usage(times)).toMatchObject({ promptTokens: 9, completionTokens: 5, estimated: true });
  expect(new AnswerState(400).promptTokens).toBe(100);
});

test("believes an answer of no tokens only where nothing was said", () => {
  const silent = new AnswerState(4);
  silent.count({ prompt: 1, completion: 0 });
  expect(silent.usage(times)).not.toHaveProperty("estimated");
  const talking = new AnswerState(4);
  talking.said("abcd");
  talking.count({ prompt: 1, completion: 0 });
  expect(talking.usage(times)).toMatchObject({ completionTokens: 1, estimated: true });
});

test.each([-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 1e12, "7", null, {}])(
  "keeps the last good count before %j",
  (count) => {
    const state = new AnswerState(4);
    state.count({ prompt: 3, completion: 2 });
    state.count({ prompt: count, completion: count });
    expect(state.usage(times)).toMatchObject({ promptTokens: 3, completionTokens: 2 });
  },
);

test("has no more cached tokens than tokens", () => {
  const state = new AnswerState(4);
  state.count({ prompt: 3, completion: 2, cached: 50 });
  expect(state.usage(times).cachedTokens).toBe(3);
});

test("keeps the first reason", () => {
  const state = new AnswerState(4);
  state.reason = "tool_calls";
  state.reason = "stop";
  expect(state.reason).toBe("tool_calls");
});
