import fc from "fast-check";
import { expect, test } from "vitest";
import { AnswerState } from "../../../engine/cloud/answer-state.ts";

const times = { startedAt: 10, firstAt: 25, endedAt: 65 };
const newState = (promptBytes: number, maxTokens?: number) => new AnswerState({ promptBytes, maxTokens });

test("takes the counts that a backend gives, and measures the times itself", () => {
  const state = newState(400);
  state.said("abc");
  state.count({ prompt: 9, cached: 4 }, 0);
  state.count({ completion: 2 }, 0);
  expect(state.usage(times)).toEqual({
    ...{ promptTokens: 9, cachedTokens: 4, completionTokens: 2 },
    ...{ queueMs: 0, prefillMs: 15, decodeMs: 40 },
  });
});

test("counts from lengths what is missing, and says so", () => {
  const state = newState(400);
  state.said("é".repeat(10));
  state.count({ prompt: 9 }, 0);
  expect(state.usage(times)).toMatchObject({ promptTokens: 9, completionTokens: 5, estimated: true });
  expect(newState(400).promptTokens).toBe(100);
});

test("believes an answer of no tokens only where nothing was said", () => {
  const silent = newState(4);
  silent.count({ prompt: 1, completion: 0 }, 0);
  expect(silent.usage(times)).not.toHaveProperty("estimated");
  const talking = newState(4);
  talking.said("abcd");
  talking.count({ prompt: 1, completion: 0 }, 0);
  expect(talking.usage(times)).toMatchObject({ completionTokens: 1, estimated: true });
});

test.each([-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 1e12, "7", null, {}])(
  "keeps the last good count before %j",
  (count) => {
    const state = newState(4);
    state.count({ prompt: 3, completion: 2 }, 0);
    state.count({ prompt: count, completion: count }, 0);
    expect(state.usage(times)).toMatchObject({ promptTokens: 3, completionTokens: 2 });
  },
);

test("believes no more of a prompt than what was sent can be, and counts it from its length beyond that", () => {
  const state = newState(400);
  state.said("ok");
  state.count({ prompt: 400 + 1024, completion: 1 }, 0);
  expect(state.usage(times)).toMatchObject({ promptTokens: 1424 });
  expect(state.usage(times)).not.toHaveProperty("estimated");
  const lying = newState(400);
  lying.said("ok");
  lying.count({ prompt: 90_000_000, cached: 90_000_000, completion: 1 }, 600_000);
  expect(lying.usage(times)).toMatchObject({
    promptTokens: 100,
    cachedTokens: 0,
    completionTokens: 1,
    estimated: true,
  });
});

/** Of an answer of 100 bytes. */
const believed = (completion: number, elapsedMs: number, maxTokens?: number) => {
  const state = newState(400, maxTokens);
  state.said("x".repeat(100));
  state.count({ prompt: 9, completion }, elapsedMs);
  const { completionTokens, estimated } = state.usage(times);
  return estimated === undefined ? completionTokens : `estimated ${completionTokens}`;
};

test("believes no more of an answer than was said, and thoughts as far as there was time for them", () => {
  expect(believed(164, 0)).toBe(164);
  expect(believed(165, 0)).toBe("estimated 25");
  expect(believed(20_000, 30_000)).toBe(20_000);
  expect(believed(20_000, 100)).toBe("estimated 25");
  expect(believed(90_000_000, 86_400_000)).toBe("estimated 25");
});

test("believes no more of an answer than was asked for, but for what was said", () => {
  expect(believed(500, 30_000, 500)).toBe(500);
  expect(believed(20_000, 30_000, 500)).toBe("estimated 25");
  expect(believed(100, 30_000, 10)).toBe(100);
  expect(believed(90_000_000, 1000, 90_000_000)).toBe("estimated 25");
});

const anyCount = fc.oneof(fc.nat(200_000), fc.integer({ min: -5, max: 1e9 }), fc.double(), fc.constant("7"));

test("whatever a backend says, a key is charged for what can have been", () => {
  const told = fc.record({ prompt: anyCount, cached: anyCount, completion: anyCount });
  fc.assert(
    fc.property(
      fc.array(told, { maxLength: 4 }),
      fc.string({ maxLength: 200 }),
      fc.record({
        bytes: fc.nat(5000),
        elapsedMs: fc.nat(2000),
        maxTokens: fc.option(fc.nat(3000), { nil: undefined }),
      }),
      (counts, text, { bytes, elapsedMs, maxTokens }) => {
        const state = newState(bytes, maxTokens);
        state.said(text);
        for (const each of counts) state.count(each, elapsedMs);
        const { promptTokens, cachedTokens, completionTokens } = state.usage(times);
        const said = Buffer.byteLength(text);
        expect(promptTokens).toBeLessThanOrEqual(bytes + 1024);
        expect(cachedTokens).toBeLessThanOrEqual(promptTokens);
        expect(completionTokens).toBeLessThanOrEqual(said + 64 + 5 * elapsedMs);
        expect(completionTokens).toBeLessThanOrEqual(
          Math.max(maxTokens ?? Number.POSITIVE_INFINITY, said) + 64,
        );
      },
    ),
  );
});

test("has no more cached tokens than tokens", () => {
  const state = newState(4);
  state.count({ prompt: 3, completion: 2, cached: 50 }, 0);
  expect(state.usage(times).cachedTokens).toBe(3);
});

test("keeps the first reason", () => {
  const state = newState(4);
  state.reason = "tool_calls";
  state.reason = "stop";
  expect(state.reason).toBe("tool_calls");
});
