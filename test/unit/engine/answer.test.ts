import { describe, expect, test, vi } from "vitest";
import { sequenceId, type TokenId } from "../../../engine/core/brand.ts";
import { WeirError } from "../../../engine/core/errors.ts";
import type { SchedulerEvent, SequenceTimes } from "../../../engine/core/sequence.ts";
import { Answer } from "../../../engine/local/answer.ts";
import type { RequestChanges } from "../../support/requests.ts";
import { byteCodec, END, tokensOf } from "../../support/scripted-lane-codec.ts";
import { readAll, requestOf } from "../../support/scripted-lane-engine.ts";

const ID = sequenceId(1);
const TIMES: SequenceTimes = { queueMs: 1, prefillMs: 2, decodeMs: 3 };
const PROMPT = tokensOf("p");

function open(changes: RequestChanges = {}) {
  const cancel = vi.fn();
  const stop = vi.fn();
  const signal = new AbortController().signal;
  const answer = new Answer(requestOf(changes), PROMPT, byteCodec, {
    toolsIgnored: false,
    ...{ signal, cancel, stop },
    endings: new Set([END]),
  });
  let index = 0;
  const token = (id: TokenId): void => {
    answer.take({ kind: "token", sequence: ID, token: id, scored: undefined, index });
    index += 1;
  };
  const say = (text: string): void => tokensOf(text).forEach(token);
  const finish = (reason: "stop" | "length"): void =>
    answer.take({ kind: "finished", sequence: ID, reason, times: TIMES } satisfies SchedulerEvent);
  return { answer, token, say, finish, cancel, stop };
}

describe("an answer on its way out", () => {
  test("tells its text, the reason and the usage with the scheduler's times", async () => {
    const { answer, say, token, finish, cancel } = open();
    say("hello");
    token(END);
    finish("stop");
    const { text, finished } = await readAll(answer.events());
    expect(text).toBe("hello");
    expect(finished).toEqual({
      kind: "finished",
      reason: "stop",
      usage: { promptTokens: 1, cachedTokens: 0, completionTokens: 6, ...TIMES },
    });
    expect(cancel).not.toHaveBeenCalled();
  });

  test("says once that a stop string is complete; tokens that come after it change nothing", async () => {
    const { answer, say, finish, stop } = open({ stop: ["lo"] });
    say("hello");
    expect(stop).toHaveBeenCalledTimes(1);
    say(" world lo");
    expect(stop).toHaveBeenCalledTimes(1);
    finish("length");
    const { text, finished } = await readAll(answer.events());
    expect(text).toBe("hel");
    expect(finished).toMatchObject({ reason: "stop", usage: { completionTokens: 5 } });
  });

  test("gives what was held back for a stop string that did not come", async () => {
    const { answer, say, finish } = open({ stop: ["lot"] });
    say("hello");
    finish("length");
    expect((await readAll(answer.events())).text).toBe("hello");
  });

  test("that fails tells what it had before, then the error, once", async () => {
    const { answer, say, cancel } = open();
    say("he");
    answer.fail(new WeirError("draining", "The model was unloaded."));
    answer.take({ kind: "failed", sequence: ID, code: "backend_failed", message: "too late" });
    const iterator = answer.events()[Symbol.asyncIterator]();
    expect((await iterator.next()).value).toMatchObject({ kind: "started" });
    expect((await iterator.next()).value).toMatchObject({ kind: "text", text: "he" });
    await expect(iterator.next()).rejects.toMatchObject({ code: "draining" });
    expect((await iterator.next()).done).toBe(true);
    expect(cancel).not.toHaveBeenCalled();
  });

  test("that nobody wants any more says so once, and takes what still comes without a word", async () => {
    const { answer, say, finish, cancel } = open();
    const iterator = answer.events()[Symbol.asyncIterator]();
    await iterator.next();
    await iterator.return?.();
    expect(cancel).toHaveBeenCalledTimes(1);
    say("hello");
    finish("length");
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
  });
});
