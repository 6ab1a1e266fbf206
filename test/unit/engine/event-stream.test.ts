import { getEventListeners } from "node:events";
import { setImmediate } from "node:timers/promises";
import { describe, expect, test, vi } from "vitest";
import { tokenId } from "../../../engine/core/brand.ts";
import { WeirError } from "../../../engine/core/errors.ts";
import type { GenerationEvent } from "../../../engine/core/generator.ts";
import { EventStream } from "../../../engine/local/event-stream.ts";
import { USAGE } from "../../support/answers.ts";

const text = (letters: string): GenerationEvent => ({
  kind: "text",
  text: letters,
  tokens: [...letters].map((letter) => tokenId(letter.charCodeAt(0))),
  logprobs: [],
});
const started: GenerationEvent = { kind: "started", promptTokens: 1 };
const finished: GenerationEvent = {
  kind: "finished",
  reason: "stop",
  usage: USAGE,
};
const lost = new WeirError("backend_failed", "The lane was lost.");

function open() {
  const controller = new AbortController();
  const onAbandon = vi.fn();
  const stream = new EventStream({ signal: controller.signal, onAbandon });
  const listeners = (): number => getEventListeners(controller.signal, "abort").length;
  return { controller, onAbandon, stream, listeners };
}

async function all(stream: EventStream): Promise<GenerationEvent[]> {
  const events: GenerationEvent[] = [];
  for await (const event of stream) events.push(event);
  return events;
}

describe("reading an answer", () => {
  test("text that waits is read as one event, between what stands around it", async () => {
    const { stream, onAbandon, listeners } = open();
    for (const event of [started, text("a"), text(""), text("bc"), finished]) stream.push(event);
    stream.end();
    expect(await all(stream)).toEqual([started, text("abc"), finished]);
    expect(onAbandon).not.toHaveBeenCalled();
    expect(listeners()).toBe(0);
  });

  test("a reader that waits gets each event by itself", async () => {
    const { stream } = open();
    const iterator = stream[Symbol.asyncIterator]();
    for (const event of [started, text("a"), text("b")]) {
      const next = iterator.next();
      stream.push(event);
      expect(await next).toEqual({ done: false, value: event });
    }
    const last = iterator.next();
    stream.end();
    expect(await last).toEqual({ done: true, value: undefined });
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
  });

  test("two calls for the next event at once are both answered, in order", async () => {
    const { stream } = open();
    const iterator = stream[Symbol.asyncIterator]();
    const both = [iterator.next(), iterator.next(), iterator.next()];
    stream.push(started);
    await setImmediate();
    stream.push(text("a"));
    await setImmediate();
    stream.end();
    expect((await Promise.all(both)).map(({ value }) => value)).toEqual([started, text("a"), undefined]);
  });

  test("log-probabilities stay with their tokens when text is merged", async () => {
    const { stream } = open();
    const one = (id: number) => ({
      token: tokenId(id),
      text: "",
      bytes: [],
      logprob: -id,
      offset: id,
      top: [],
    });
    for (const id of [1, 2])
      stream.push({ kind: "text", text: `${id}`, tokens: [tokenId(id)], logprobs: [one(id)] });
    stream.end();
    expect(await all(stream)).toEqual([
      { kind: "text", text: "12", tokens: [1, 2], logprobs: [one(1), one(2)] },
    ]);
  });

  test("a reader who sleeps through a very long answer gets it at once, and soon", async () => {
    const { stream } = open();
    for (let i = 0; i < 100_000; i += 1) stream.push(text("x"));
    stream.end();
    const [event] = await all(stream);
    expect(event?.kind === "text" && event.tokens.length).toBe(100_000);
  }, 2000);

  test("a second reader is a bug", () => {
    const { stream } = open();
    stream[Symbol.asyncIterator]();
    expect(() => stream[Symbol.asyncIterator]()).toThrow("one reader");
  });
});

describe("an answer that fails", () => {
  test("is read up to there, and the error comes once", async () => {
    const { stream, onAbandon, listeners } = open();
    stream.push(text("a"));
    stream.fail(lost);
    stream.push(text("late"));
    stream.end();
    const iterator = stream[Symbol.asyncIterator]();
    expect(await iterator.next()).toEqual({ done: false, value: text("a") });
    await expect(iterator.next()).rejects.toBe(lost);
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
    expect(onAbandon).not.toHaveBeenCalled();
    expect(listeners()).toBe(0);
  });

  test("wakes a reader that waits", async () => {
    const { stream } = open();
    const next = stream[Symbol.asyncIterator]().next();
    stream.fail(lost);
    await expect(next).rejects.toBe(lost);
  });
});

describe("a reader that goes away", () => {
  test("by leaving the loop tells the engine once, and what comes later is dropped", async () => {
    const { controller, stream, onAbandon, listeners } = open();
    stream.push(started);
    for await (const event of stream) {
      expect(event).toEqual(started);
      break;
    }
    stream.push(text("late"));
    stream.fail(lost);
    controller.abort();
    expect(onAbandon).toHaveBeenCalledTimes(1);
    expect(listeners()).toBe(0);
  });

  test("by its signal gets `cancelled` instead of what waited, and the engine is told once", async () => {
    const { controller, stream, onAbandon, listeners } = open();
    const iterator = stream[Symbol.asyncIterator]();
    stream.push(text("a"));
    controller.abort();
    await expect(iterator.next()).rejects.toMatchObject({ code: "cancelled" });
    await iterator.return?.();
    expect(onAbandon).toHaveBeenCalledTimes(1);
    expect(listeners()).toBe(0);
  });

  test("while it waits is woken", async () => {
    const { controller, stream, onAbandon } = open();
    const next = stream[Symbol.asyncIterator]().next();
    controller.abort();
    await expect(next).rejects.toMatchObject({ code: "cancelled" });
    expect(onAbandon).toHaveBeenCalledTimes(1);
  });

  test("leaves while a call for the next event is open: that one ends", async () => {
    const { stream, onAbandon } = open();
    const iterator = stream[Symbol.asyncIterator]();
    const next = iterator.next();
    expect(await iterator.return?.()).toEqual({ done: true, value: undefined });
    expect(await next).toEqual({ done: true, value: undefined });
    expect(onAbandon).toHaveBeenCalledTimes(1);
  });

  test("before the stream exists is noticed, but only once it does", async () => {
    const onAbandon = vi.fn();
    const stream = new EventStream({ signal: AbortSignal.abort(), onAbandon });
    expect(onAbandon).not.toHaveBeenCalled();
    await expect(stream[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: "cancelled" });
    expect(onAbandon).toHaveBeenCalledTimes(1);
  });

  test("after the engine is done abandons nothing, and a failure that it did not read stays unread", async () => {
    for (const finish of ["end", "fail"] as const) {
      const { controller, stream, onAbandon } = open();
      stream.push(text("a"));
      if (finish === "end") stream.end();
      else stream.fail(lost);
      controller.abort();
      const iterator = stream[Symbol.asyncIterator]();
      await iterator.return?.();
      expect(await iterator.next()).toEqual({ done: true, value: undefined });
      expect(onAbandon).not.toHaveBeenCalled();
    }
  });
});
