/** The local engine: what is refused before it costs anything, or once its time is up. */
import { describe, expect, test } from "vitest";
import { tokenId } from "../../../engine/core/brand.ts";
import { says } from "../../support/scripted-lane.ts";
import { type byteCodec, tokensOf, VOCABULARY } from "../../support/scripted-lane-codec.ts";
import { readAll, STORY, scriptedEngine, settled, telling } from "../../support/scripted-lane-engine.ts";

describe("a request that cannot be served", () => {
  test("a prompt over the context is refused with both numbers before anything starts", async () => {
    const { ask, load } = telling(STORY);
    const asked = readAll(ask({ prompt: "p".repeat(63) }));
    await expect(asked).rejects.toMatchObject({
      code: "context_length_exceeded",
      param: "prompt",
      message: expect.stringMatching(/has 64 tokens; this model's context is 64 tokens/),
    });
    expect(load()).toBe(0);
    // One less leaves room for one token.
    expect((await telling(STORY).answer({ prompt: "p".repeat(62), maxTokens: 9 })).text).toBe("t");
  });

  test("a chat over the context names its messages", async () => {
    const { answer } = telling(STORY);
    const messages = [{ role: "user", content: "p".repeat(90) }] as const;
    await expect(answer({ prompt: { kind: "chat", messages } })).rejects.toMatchObject({
      code: "context_length_exceeded",
      param: "messages",
    });
  });

  test("a text or chat far over the context is refused without being encoded, with both numbers", async () => {
    let encoded = 0;
    const encode: typeof byteCodec.encode = () => {
      encoded += 1;
      return [];
    };
    const { answer } = scriptedEngine({ codec: { encode } });
    await expect(answer({ prompt: "p".repeat(8 * 64 + 1) })).rejects.toMatchObject({
      code: "context_length_exceeded",
      param: "prompt",
      message: expect.stringMatching(
        /has about 128 tokens \(513 characters, of at most 512\); this model's context is 64 tokens/,
      ),
    });
    const messages = [{ role: "user", content: "p".repeat(1_000_000) }] as const;
    await expect(answer({ prompt: { kind: "chat", messages } })).rejects.toMatchObject({
      code: "context_length_exceeded",
      param: "messages",
    });
    expect(encoded).toBe(0);
  });

  test("a long text that few tokens write is served, and encoded once and whole", async () => {
    const seen: number[] = [];
    const encode = (text: string): readonly number[] => {
      seen.push(text.length);
      return tokensOf(text.replaceAll("p".repeat(50), "P"));
    };
    const { answer } = scriptedEngine({ codec: { encode }, lanes: [{ next: says("ok") }] });
    const { events, text } = await answer({ prompt: "p".repeat(500) });
    expect(events[0]).toEqual({ kind: "started", promptTokens: 10 });
    expect({ text, seen }).toEqual({ text: "ok", seen: [500] });
  });

  test("an empty prompt, and a token that the model does not have, are refused", async () => {
    const { answer } = telling(STORY);
    const empty = { kind: "tokens", tokens: [] } as const;
    await expect(answer({ prompt: empty })).rejects.toMatchObject({
      code: "invalid_request",
      param: "prompt",
    });
    const beyond = { kind: "tokens", tokens: [tokenId(VOCABULARY)] } as const;
    await expect(answer({ prompt: beyond })).rejects.toMatchObject({
      code: "invalid_request",
      message: expect.stringContaining(
        `Token ${VOCABULARY} is not in the vocabulary of ${VOCABULARY} tokens`,
      ),
    });
  });

  test("one more than rows and queue hold is refused with 429 and a time to come back", async () => {
    const { ask, lane, load } = scriptedEngine({
      lanes: [{ next: says(STORY) }],
      limits: { rowsMax: 1, waitingMax: 2 },
    });
    lane.hold();
    const admitted = [1, 2, 3].map(() => readAll(ask({ maxTokens: 2 })));
    await settled();
    await expect(readAll(ask())).rejects.toMatchObject({
      code: "overloaded",
      retryAfterMs: expect.any(Number),
    });
    expect(load()).toBe(3);
    lane.release();
    expect((await Promise.all(admitted)).map(({ text }) => text)).toEqual(["th", "th", "th"]);
    expect((await readAll(ask({ maxTokens: 2 }))).text).toBe("th");
  });

  test("one that takes too long ends with request_timeout, and its slot is free", async () => {
    const { ask, clock, load } = scriptedEngine({
      lanes: [{ next: says("x".repeat(60)), before: () => void clock.advance(10) }],
    });
    const asked = readAll(ask({ maxTokens: 50, timeoutMs: 100 }));
    await expect(asked).rejects.toMatchObject({ code: "request_timeout" });
    expect(load()).toBe(0);
  });
});
