/** What every provider must do before a vendor that answers, fails, stalls and lies; run it with a provider. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Provider } from "../../engine/cloud/providers/provider.ts";
import { secretRef } from "../../engine/cloud/secret-ref.ts";
import type { FinishReason } from "../../engine/core/generator.ts";
import type { GenerationRequest } from "../../engine/core/request.ts";
import { type CloudDouble, type DoubleTurn, startCloudDouble } from "../support/cloud-double/cloud-double.ts";
import {
  eventsOf,
  openRemote,
  type RemoteSetup,
  type RemoteSubject,
  remoteRequest,
  sumUp,
} from "../support/remote.ts";

export interface ProviderCase {
  readonly provider: Provider;
  readonly base: string;
  /** Where a chat goes. */
  readonly path: string;
  /** The header that carries the secret `key-1`, and its value. */
  readonly secret: readonly [name: string, value: string];
  /** The vendor's words for the ends of an answer. */
  readonly reasons: readonly (readonly [word: string, reason: FinishReason])[];
  /** The vendor gives calls ids of its own. */
  readonly namesCalls: boolean;
  /** Errors as the vendor writes them. */
  readonly errors: readonly (readonly [status: number, body: unknown, code: string])[];
  /** Usage that cannot be true, in the vendor's fields. */
  readonly lies: readonly Readonly<Record<string, unknown>>[];
}

const CANARY = "CANARY";

export function providerSuite(title: string, subject: ProviderCase): void {
  describe(title, () => {
    let double: CloudDouble;
    let open: RemoteSubject | undefined;
    beforeAll(async () => {
      double = await startCloudDouble();
    });
    afterAll(() => double.close());
    beforeEach(() => double.reset());
    afterEach(async () => {
      await open?.egress.close();
      open = undefined;
    });

    const remote = (setup: Partial<RemoteSetup> = {}) => {
      open = openRemote({ port: double.port, provider: subject.provider, base: subject.base, ...setup });
      return open.generator;
    };
    const ask = async (
      turns: readonly DoubleTurn[],
      request: GenerationRequest = remoteRequest(),
      setup = {},
    ) => {
      await double.script(...turns);
      return sumUp(await eventsOf(remote(setup), request));
    };
    const refusal = async (turns: readonly DoubleTurn[], setup: Partial<RemoteSetup> = {}) => {
      await double.script(...turns);
      const thrown: unknown = await eventsOf(remote(setup), remoteRequest()).then(
        () => "it answered",
        (error: unknown) => error,
      );
      expect(JSON.stringify(thrown) + String(thrown)).not.toContain(CANARY);
      return thrown;
    };
    const requests = async () => (await double.record()).requests;

    test("answers in text, with its usage", async () => {
      const answer = await ask([{ kind: "answer", texts: ["A river ", "is water ", "🌊人é."] }]);
      expect(answer).toMatchObject({
        text: "A river is water 🌊人é.",
        calls: [],
        reason: "stop",
        usage: { promptTokens: 11, completionTokens: 7, cachedTokens: 3, queueMs: 0 },
      });
      expect(answer.usage).not.toHaveProperty("estimated");
      expect(answer.usage.prefillMs).toBeGreaterThan(0);
    });

    test.each([1, 2, 3, 7, 64])("gives the same answer in pieces of %i bytes", async (splitBytes) => {
      const turn = { kind: "answer", texts: ["é人🌊", "\n\ndata: x\n", '"\\'], splitBytes } as const;
      const toolCalls = [{ id: "call_1", name: "find", arguments: ['{"é":', '"🌊"}'] }];
      const answer = await ask([{ ...turn, toolCalls }]);
      expect(answer.text).toBe('é人🌊\n\ndata: x\n"\\');
      expect(JSON.parse(answer.calls[0]?.arguments ?? "")).toEqual({ é: "🌊" });
    });

    test("gives each part as it comes, not the whole at the end", async () => {
      await double.script({ kind: "answer", texts: ["a", "b", "c"], after: { events: 4, fate: "stall" } });
      const stop = new AbortController();
      const events = remote().generate(remoteRequest(), stop.signal)[Symbol.asyncIterator]();
      expect((await events.next()).value).toMatchObject({ kind: "started" });
      expect((await events.next()).value).toMatchObject({ kind: "text" });
      stop.abort();
      // What had come already may still be given.
      const drain = async () => {
        while ((await events.next()).done !== true);
      };
      await expect(drain()).rejects.toMatchObject({ code: "cancelled" });
    });

    test("calls several tools, with their ids, names and arguments", async () => {
      const toolCalls = [
        { id: "call_1", name: "weather", arguments: ['{"city":"Pa', 'ris"}'] },
        { id: "call_2", name: "clock", arguments: ["{}"] },
      ];
      const answer = await ask([{ kind: "answer", texts: ["Let me see."], toolCalls }]);
      expect(answer).toMatchObject({ text: "Let me see.", reason: "tool_calls" });
      expect(answer.calls.map(({ name, arguments: text }) => [name, JSON.parse(text)])).toEqual([
        ["weather", { city: "Paris" }],
        ["clock", {}],
      ]);
      const ids = answer.calls.map(({ id }) => id);
      if (subject.namesCalls) expect(ids).toEqual(["call_1", "call_2"]);
      expect(new Set(ids).size).toBe(2);
    });

    test("uses one connection for one answer after the other", async () => {
      const generator = remote();
      for (let index = 0; index < 3; index += 1) {
        sumUp(await eventsOf(generator, remoteRequest()));
        await sleep(20); // the end of a body may come a little behind the last word
      }
      expect((await double.record()).connections).toBe(1);
    });

    test.each(subject.reasons)("says that %s is %s", async (finish, reason) => {
      expect(await ask([{ kind: "answer", texts: ["a"], finish }])).toMatchObject({ reason });
    });

    test("sends one JSON body to its path, under the backend's name for the model", async () => {
      await ask([], remoteRequest(), { options: { secret: secretRef("env:KEY") } });
      const [seen] = await requests();
      expect(seen).toMatchObject({ method: "POST", url: subject.path });
      expect(seen?.headers).toMatchObject({
        "content-type": "application/json",
        [subject.secret[0]]: subject.secret[1],
      });
      expect(`${seen?.url}${seen?.body}`).toContain("vendor-small-1");
      expect(JSON.parse(seen?.body ?? "")).toBeTypeOf("object");
    });

    test.each(subject.errors)("reads status %i with %j as %s", async (status, body, code) => {
      const turn = { kind: "status", status, body: JSON.stringify(body) } as const;
      expect(await refusal([turn])).toMatchObject({ code });
    });

    test.each([
      [400, "invalid_request"],
      [401, "backend_refused"],
      [403, "backend_refused"],
      [404, "backend_refused"],
      [429, "overloaded"],
      [500, "backend_failed"],
      [502, "backend_failed"],
      [503, "backend_failed"],
    ])("reads status %i with a page that is not JSON as %s", async (status, code) => {
      const turn = { kind: "status", status, body: `<html>${CANARY}` } as const;
      expect(await refusal([turn])).toMatchObject({ code });
    });

    test("passes on when the backend wants to be asked again", async () => {
      const headers = { "retry-after": "7" };
      const thrown = await refusal([{ kind: "status", status: 429, headers }]);
      expect(thrown).toMatchObject({ code: "overloaded", retryAfterMs: 7000 });
    });

    test("tries again after what may pass, and the client sees one answer", async () => {
      const turns: DoubleTurn[] = [
        { kind: "status", status: 503 },
        { kind: "answer", texts: ["lost"], after: { events: 0, fate: "cut" } },
        { kind: "answer", texts: ["a"], after: { events: 0, fate: "error" } },
        { kind: "answer", texts: ["found"] },
      ];
      const retry = { attemptsMax: 4, baseMs: 1, capMs: 2, retryAfterMaxMs: 100 };
      expect(await ask(turns, remoteRequest(), { options: { retry } })).toMatchObject({ text: "found" });
      const bodies = (await requests()).map(({ body }) => body);
      expect(bodies).toHaveLength(4);
      expect(new Set(bodies).size).toBe(1);
    });

    test.each([400, 401, 404])("does not try again after status %i", async (status) => {
      const retry = { attemptsMax: 3, baseMs: 1, capMs: 2, retryAfterMaxMs: 100 };
      await refusal([{ kind: "status", status }], { options: { retry } });
      expect(await requests()).toHaveLength(1);
    });

    test.each(["cut", "end", "error"] as const)(
      "an answer that breaks off after its beginning (%s) is a failure, and not tried again",
      async (fate) => {
        const turn = { kind: "answer", texts: ["a", "b", "c"], after: { events: 4, fate } } as const;
        await double.script(turn);
        const retry = { attemptsMax: 3, baseMs: 1, capMs: 2, retryAfterMaxMs: 100 };
        const seen: string[] = [];
        const reading = (async () => {
          for await (const event of remote({ options: { retry } }).generate(
            remoteRequest(),
            AbortSignal.timeout(5000),
          ))
            seen.push(event.kind);
        })();
        await expect(reading).rejects.toMatchObject({
          code: expect.stringMatching(/^(backend_failed|overloaded)$/),
          message: expect.not.stringContaining(CANARY),
        });
        expect(seen.slice(0, 2)).toEqual(["started", "text"]);
        expect(seen).not.toContain("finished");
        expect(await requests()).toHaveLength(1);
      },
    );

    test("gives up on a backend that falls silent, before and within an answer", async () => {
      const to = { headersTimeoutMs: 150, idleTimeoutMs: 150 };
      expect(await refusal([{ kind: "silence" }], { to })).toMatchObject({ code: "backend_failed" });
      await open?.egress.close();
      const stall = { kind: "answer", texts: ["a", "b", "c"], after: { events: 4, fate: "stall" } } as const;
      expect(await refusal([stall], { to })).toMatchObject({ code: "backend_failed" });
    });

    test("ends a request at its time limit", async () => {
      const options = { requestTimeoutMs: 100 };
      expect(await refusal([{ kind: "silence" }], { options })).toMatchObject({ code: "request_timeout" });
    });

    test("closes the connection when the reader leaves", async () => {
      await double.script({
        kind: "answer",
        texts: Array.from({ length: 50 }, () => "a"),
        pauseMs: 20,
        splitBytes: 200,
      });
      for await (const event of remote().generate(remoteRequest(), AbortSignal.timeout(5000))) {
        if (event.kind === "text") break;
      }
      await expect.poll(async () => (await double.record()).left).toBe(1);
    });

    test.each(subject.lies)("does not believe usage that cannot be true: %j", async (usage) => {
      const { usage: found } = await ask([{ kind: "answer", texts: ["some words to count"], usage }]);
      expect(found).toMatchObject({ estimated: true });
      for (const count of [found.promptTokens, found.completionTokens]) {
        expect(count).toBeGreaterThan(0);
        expect(count).toBeLessThan(10_000);
      }
      expect(found.cachedTokens).toBeLessThanOrEqual(found.promptTokens);
    });

    test("makes usage of lengths where the backend tells none", async () => {
      const { usage } = await ask([{ kind: "answer", texts: ["x".repeat(40)], usage: null }]);
      expect(usage).toMatchObject({ completionTokens: 10, estimated: true });
    });

    test("bounds an answer, and an event", async () => {
      const texts = ["x".repeat(5000)];
      const tooMuch = { answerBytesMax: 4000 };
      expect(await refusal([{ kind: "answer", texts }], { options: tooMuch })).toMatchObject({
        code: "backend_failed",
        message: expect.stringContaining("more than 4000 bytes"),
      });
      await open?.egress.close();
      const tooLong = { eventCharactersMax: 4000 };
      expect(await refusal([{ kind: "answer", texts }], { options: tooLong })).toMatchObject({
        code: "backend_failed",
        message: expect.stringContaining("more than 4000 characters"),
      });
    });

    test.each(["data: {oops\n\n", "data: 5\n\n", "data: null\n\n", "", "<html>", '{"choices":[]}'])(
      "a stream that is none is a failure: %j",
      async (body) => {
        expect(await refusal([{ kind: "raw", body }])).toMatchObject({ code: "backend_failed" });
      },
    );

    test.each([
      ["prompt", { prompt: { kind: "tokens", tokens: [] } }],
      ["echo", { echo: true }],
      ["logprobs", { logprobs: 2 }],
      ["min_tokens", { minTokens: 3 }],
      ["ignore_eos", { ignoreEos: true }],
    ] as const)("refuses %s, which it cannot ask for, and sends nothing", async (param, changes) => {
      const asking = eventsOf(remote(), remoteRequest(changes));
      await expect(asking).rejects.toMatchObject({ code: "invalid_request", param });
      expect(await double.record()).toMatchObject({ connections: 0, bytes: 0 });
    });
  });
}
