import { describe, expect, test } from "vitest";
import { tokenId } from "../../../engine/core/brand.ts";
import type { GenerationEvent } from "../../../engine/core/generator.ts";
import { says } from "../../support/scripted-lane.ts";
import {
  BEGIN,
  BYTES,
  byteCard,
  byteCodec,
  END,
  textOf,
  tokensOf,
  VOCABULARY,
} from "../../support/scripted-lane-codec.ts";
import { readAll, requestOf, scriptedEngine, settled } from "../../support/scripted-lane-engine.ts";

const STORY = "there was a river that ran to the sea and back again";
const telling = (text: string) => scriptedEngine({ lanes: [{ next: says(text) }] });
const kinds = (events: readonly GenerationEvent[]): readonly string[] => events.map(({ kind }) => kind);
const textEvents = (events: readonly GenerationEvent[]) => events.filter((event) => event.kind === "text");

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

describe("log-probabilities and echo", () => {
  test("each token of the text has its own, with as many alternatives as asked", async () => {
    const { answer } = telling("abc");
    const { events } = await answer({ logprobs: 2 });
    const told = textEvents(events).flatMap(({ logprobs }) => logprobs);
    expect(told.map(({ text }) => text)).toEqual(["a", "b", "c"]);
    expect(told.map(({ top }) => top.length)).toEqual([2, 2, 2]);
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

describe("a client that leaves", () => {
  const endings = {
    "aborts its signal": (abort: AbortController) => abort.abort(),
    "leaves its iterator": (_: AbortController, iterator: AsyncIterator<GenerationEvent>) =>
      iterator.return?.(),
  };

  test.each(Object.entries(endings))(
    "and %s in the middle of its answer is forgotten within a step",
    async (_, leave) => {
      const { lane, ask, load, answer } = telling("x".repeat(60));
      const abort = new AbortController();
      const iterator = ask({ maxTokens: 50 }, abort.signal)[Symbol.asyncIterator]();
      await iterator.next();
      await iterator.next();
      lane.hold();
      await settled();
      const steps = lane.plans.length;
      void leave(abort, iterator);
      await settled();
      expect(load()).toBe(0);
      lane.release();
      await settled();
      // The step in flight was the last one with work for it.
      expect(lane.plans).toHaveLength(steps);
      await answer({ maxTokens: 1 });
      expect(lane.plans.at(-1)?.closings).toHaveLength(1);
    },
  );

  test("and aborts hears that it was cancelled; what was computed before is dropped", async () => {
    const gate = Promise.withResolvers<undefined>();
    const { ask } = scriptedEngine({
      lanes: [{ next: says(STORY), before: ({ step }) => (step < 4 ? undefined : gate.promise) }],
    });
    const abort = new AbortController();
    const iterator = ask({}, abort.signal)[Symbol.asyncIterator]();
    await iterator.next();
    await settled();
    abort.abort();
    await expect(iterator.next()).rejects.toMatchObject({ code: "cancelled" });
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
    gate.resolve(undefined);
  });

  test("before it is admitted costs nothing", async () => {
    const { ask, load, lane } = telling(STORY);
    await expect(readAll(ask({}, AbortSignal.abort()))).rejects.toMatchObject({ code: "cancelled" });
    expect(load()).toBe(0);
    await settled();
    expect(lane.plans).toHaveLength(0);
  });

  test("while it waits gives up its place in the queue", async () => {
    const { ask, lane, load } = scriptedEngine({ lanes: [{ next: says(STORY) }], limits: { rowsMax: 1 } });
    lane.hold();
    const first = readAll(ask({ maxTokens: 2 }));
    await settled();
    const abort = new AbortController();
    const second = readAll(ask({}, abort.signal));
    await settled();
    expect(load()).toBe(2);
    abort.abort();
    await expect(second).rejects.toMatchObject({ code: "cancelled" });
    expect(load()).toBe(1);
    lane.release();
    expect((await first).text).toBe("th");
  });

  test("after its answer is complete is no cancellation", async () => {
    const { ask } = telling(STORY);
    const abort = new AbortController();
    const { finished } = await readAll(ask({ maxTokens: 2 }, abort.signal));
    abort.abort();
    expect(finished.reason).toBe("length");
  });
});

describe("a lane that fails", () => {
  const dead = { slotsIntact: false, message: "the thread is gone" };

  test("dies: what streamed nothing is answered all the same, what streamed fails with a code, and new requests go on", async () => {
    let fail = false;
    const { ask, lane, incidents, answer } = scriptedEngine({
      lanes: [
        {
          next: says(STORY),
          before: () => (fail ? dead : undefined),
          onRevive: () => {
            fail = false;
          },
        },
      ],
    });
    const streaming = ask({ maxTokens: 20 })[Symbol.asyncIterator]();
    await streaming.next();
    lane.hold();
    await streaming.next();
    await settled();
    const quiet = readAll(ask({ prompt: "q".repeat(40), maxTokens: 4 }));
    await settled();
    fail = true;
    const lost = expect(readAll({ [Symbol.asyncIterator]: () => streaming })).rejects.toMatchObject({
      code: "backend_failed",
      message: expect.stringMatching(/the thread is gone.*part of the answer was out already/),
    });
    lane.release();
    await lost;
    expect((await quiet).text).toBe("ther");
    expect(incidents.map(({ kind }) => kind)).toEqual(["step_failed", "revived"]);
    expect((await answer({ maxTokens: 3 })).text).toBe("the");
  });

  test("fails one step again and again: the request ends after its retries, and says why", async () => {
    const fault = { slotsIntact: true, message: "the model's logits are damaged" };
    const { answer, lane, load } = scriptedEngine({ lanes: [{ before: () => fault }] });
    await expect(answer()).rejects.toMatchObject({
      code: "backend_failed",
      message: expect.stringMatching(/logits are damaged.*failed again after 2 retries/),
    });
    expect(lane.plans).toHaveLength(3);
    expect(load()).toBe(0);
  });

  test("is being started again for long: those whose time is up or who leave end meanwhile, the others are answered", async () => {
    const back = Promise.withResolvers<void>();
    const { answer, ask, clock, lane, load, tick } = scriptedEngine({
      lanes: [
        {
          next: says("back"),
          before: ({ step }) => (step === 1 ? dead : undefined),
          onRevive: () => back.promise,
        },
      ],
      limits: { rowsMax: 1, requestTimeoutMs: 10_000 },
    });
    const patient = answer({ maxTokens: 4 });
    const late = answer({ timeoutMs: 2_000 }).catch((error: unknown) => error);
    await settled();
    expect(lane.revives).toBe(1);
    const leaving = new AbortController();
    const arrived = readAll(ask({ timeoutMs: 2_500 }, leaving.signal)).catch((error: unknown) => error);
    await settled();
    expect(load()).toBe(3);
    clock.advance(1_999);
    tick();
    expect(load()).toBe(3);
    clock.advance(1);
    tick();
    expect(await late).toMatchObject({
      code: "request_timeout",
      message: expect.stringMatching(/after its 2 s.*being started again/),
    });
    expect(load()).toBe(2);
    leaving.abort();
    expect(await arrived).toMatchObject({ code: "cancelled" });
    expect(load()).toBe(1);
    back.resolve();
    expect((await patient).text).toBe("back");
    // The scheduler looks after time-outs itself again.
    expect(tick()).toBe(0);
  });

  test("cannot be started again: those who wait are told, and it serves once it is back", async () => {
    let broken = true;
    const { answer, load } = scriptedEngine({
      lanes: [
        {
          next: says("ok"),
          before: () => (broken ? dead : undefined),
          onRevive: () => {
            if (broken) throw new Error("no memory");
          },
        },
      ],
      sleep: settled,
    });
    const asked = [answer(), answer()];
    for (const result of await Promise.allSettled(asked)) {
      expect(result).toMatchObject({
        status: "rejected",
        reason: { code: "backend_failed", message: expect.stringContaining("could not be started again") },
      });
    }
    expect(load()).toBe(0);
    broken = false;
    expect((await answer()).text).toBe("ok");
  });

  test("is one of two: the other one goes on, and new requests go where less is to be done", async () => {
    const { ask, lanes, engine } = scriptedEngine({
      lanes: [{ next: says("left") }, { next: says("right") }],
    });
    for (const lane of lanes) lane.hold();
    const asked = [1, 2, 3, 4].map(() => readAll(ask({ maxTokens: 10 })));
    await settled();
    expect(engine.snapshots().map(({ slotsUsed, waiting }) => slotsUsed + waiting.length)).toEqual([2, 2]);
    for (const lane of lanes) lane.release();
    const texts = (await Promise.all(asked)).map(({ text }) => text);
    expect(texts).toEqual(["left", "right", "left", "right"]);
  });
});

describe("the choices of one request", () => {
  const counting = (limits: { slotTokens?: number } = {}) => {
    const seen = { encoded: 0, rendered: 0 };
    const codec: Partial<typeof byteCodec> = {
      encode: (text, options) => {
        seen.encoded += 1;
        return byteCodec.encode(text, options);
      },
      renderChat: (messages, tools) => {
        seen.rendered += 1;
        return byteCodec.renderChat(messages, tools);
      },
    };
    return { seen, ...scriptedEngine({ codec, limits, lanes: [{ next: says(STORY) }] }) };
  };
  const choices = [0, 1, 2, 3];

  test("share a prompt that is rendered and encoded once, and echo its own text", async () => {
    const { answer, seen } = counting();
    const chat = { kind: "chat", messages: [{ role: "user", content: "hi" }] } as const;
    const chats = await Promise.all(choices.map((choice) => answer({ prompt: chat, choice, maxTokens: 3 })));
    expect(chats.map(({ text }) => text)).toEqual(choices.map(() => "the"));
    expect(seen).toEqual({ encoded: 1, rendered: 1 });
    const text = { kind: "text", text: "hé" } as const;
    const echoes = await Promise.all(choices.map((choice) => answer({ prompt: text, choice, echo: true })));
    expect(echoes.map(({ events }) => events[1])).toEqual(
      choices.map(() => expect.objectContaining({ kind: "prompt", text: "hé" })),
    );
    expect(seen.encoded).toBe(2);
  });

  test("hear of tools that the model's template takes no notice of, and only of those", async () => {
    const tools = [{ type: "function", function: { name: "f" } }];
    const messages = [{ role: "user", content: "hi" }] as const;
    const ignores = (renderChat: typeof byteCodec.renderChat, asked: readonly unknown[] | undefined) =>
      scriptedEngine({ codec: { renderChat } })
        .answer({ prompt: { kind: "chat", messages, ...(asked === undefined ? {} : { tools: asked }) } })
        .then(({ events }) => events[0]);
    const plain = byteCodec.renderChat;
    const shows: typeof plain = (all, given) => `${JSON.stringify(given ?? [])}${plain(all, given)}`;
    const wants: typeof plain = (all, given) => {
      if (given === undefined) throw new Error("no tools");
      return plain(all, given);
    };
    expect(await ignores(plain, tools)).toMatchObject({ kind: "started", toolsIgnored: true });
    expect(await ignores(plain, undefined)).not.toHaveProperty("toolsIgnored");
    expect(await ignores(plain, [])).not.toHaveProperty("toolsIgnored");
    expect(await ignores(shows, tools)).not.toHaveProperty("toolsIgnored");
    expect(await ignores(wants, tools)).not.toHaveProperty("toolsIgnored");
  });

  test("are refused together by one look at the prompt", async () => {
    const { answer, seen } = counting();
    const prompt = { kind: "text", text: "p".repeat(100) } as const;
    const results = await Promise.allSettled(choices.map((choice) => answer({ prompt, choice })));
    for (const result of results) {
      expect(result).toMatchObject({ status: "rejected", reason: { code: "context_length_exceeded" } });
    }
    expect(seen.encoded).toBe(1);
  });

  test("that a client left before they were encoded leave the prompt good for others", async () => {
    const { answer, ask, seen } = counting({ slotTokens: 8_192 });
    const first = { kind: "text", text: "a".repeat(5_000) } as const;
    const prompt = { kind: "text", text: "b".repeat(5_000) } as const;
    const abort = new AbortController();
    const ahead = answer({ prompt: first, maxTokens: 1 });
    const left = readAll(ask({ prompt, maxTokens: 1 }, abort.signal));
    abort.abort();
    await expect(left).rejects.toMatchObject({ code: "cancelled" });
    expect(seen.encoded).toBe(1);
    await ahead;
    expect((await answer({ prompt, maxTokens: 1 })).text).toBe("t");
  });
});

test("long texts are encoded one a turn of the event loop, so that streams go on between them", async () => {
  const seen: string[] = [];
  const encode: typeof byteCodec.encode = (text, options) => {
    seen.push(text.slice(0, 1));
    return byteCodec.encode(text, options);
  };
  const { answer } = scriptedEngine({ codec: { encode }, limits: { slotTokens: 8_192 } });
  const asked = ["a", "b", "c"].map((letter) => answer({ prompt: letter.repeat(5_000), maxTokens: 1 }));
  for (let i = 0; i < 3; i += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    seen.push("|");
  }
  await Promise.all(asked);
  expect(seen.join("")).toMatch(/^a\|+b\|+c/);
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

describe("closing an engine", () => {
  test("ends running answers with draining, lets the step end, closes the lanes, and takes no more", async () => {
    const { engine, ask, lane, load } = telling(STORY);
    lane.hold();
    const running = readAll(ask());
    await settled();
    const closing = engine.close();
    await expect(running).rejects.toMatchObject({ code: "draining" });
    expect(lane.closed).toBe(false);
    lane.release();
    await closing;
    expect(lane.closed).toBe(true);
    expect(load()).toBe(0);
    await expect(readAll(ask())).rejects.toMatchObject({ code: "draining" });
  });
});

test("tokenize and detokenize go through the codec", () => {
  const { engine } = telling("");
  expect(engine.tokenize("hi", true)).toEqual([BEGIN, ...tokensOf("hi")]);
  expect(engine.detokenize(tokensOf("hé"))).toBe(textOf(tokensOf("hé")));
  expect(requestOf().model).toBe(byteCard.name);
});
