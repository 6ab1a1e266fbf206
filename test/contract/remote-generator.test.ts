/** What holds for every remote backend: the judgement, the breaker, secrets, names; whatever the vendor. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { openAiCompatible } from "../../engine/cloud/providers/openai-compatible.ts";
import type { RemotePorts } from "../../engine/cloud/remote-generator.ts";
import { secretRef } from "../../engine/cloud/secret-ref.ts";
import { type CloudDouble, startCloudDouble } from "../support/cloud-double/cloud-double.ts";
import { FakeClock } from "../support/fake-clock.ts";
import {
  eventsOf,
  openRemote,
  type RemoteSetup,
  type RemoteSubject,
  remoteRequest,
} from "../support/remote.ts";

const provider = openAiCompatible({
  auth: "bearer",
  query: "",
  maxTokensField: "max_tokens",
  completions: false,
  extras: false,
});

let double: CloudDouble;
let open: RemoteSubject | undefined;
beforeAll(async () => {
  double = await startCloudDouble();
});
afterAll(() => double.close());
beforeEach(() => double.reset());
afterEach(() => open?.egress.close());

const remote = (setup: Partial<RemoteSetup> = {}) => {
  open = openRemote({ port: double.port, provider, ...setup });
  return open.generator;
};
const nothing = async () => expect(await double.record()).toMatchObject({ connections: 0, bytes: 0 });

describe("what is to be sent to the cloud", () => {
  test.each(["internal", "personal", "restricted"] as const)(
    "stays where it is judged %s",
    async (judged) => {
      const asking = eventsOf(remote({ ports: { judge: async () => judged } }), remoteRequest());
      await expect(asking).rejects.toMatchObject({ code: "egress_refused" });
      await nothing();
    },
  );

  const throws = () => {
    throw new Error("out of memory");
  };
  test.each<[string, RemotePorts["judge"]]>([
    ["throws", throws],
    ["rejects", async () => throws()],
    ["says nothing", async () => undefined as unknown as "public"],
  ])("stays where the judge %s", async (_, judge) => {
    const asking = eventsOf(remote({ ports: { judge } }), remoteRequest());
    await expect(asking).rejects.toMatchObject({ code: "egress_refused" });
    await nothing();
  });

  test("stays where the judge never ends, and the request ends at its time limit", async () => {
    const judge = () => new Promise<never>(() => undefined);
    const asking = eventsOf(remote({ ports: { judge } }), remoteRequest({ timeoutMs: 50 }));
    await expect(asking).rejects.toMatchObject({ code: "request_timeout" });
    await nothing();
  });

  test("stays where the judge says public and the scan of the bytes does not", async () => {
    const asking = eventsOf(remote({ doors: { scan: async () => "personal" } }), remoteRequest());
    await expect(asking).rejects.toMatchObject({ code: "egress_refused" });
    await nothing();
  });

  test("is judged and scanned again for each attempt, over the bytes that are sent", async () => {
    await double.script({ kind: "status", status: 503 });
    const judge = vi.fn<RemotePorts["judge"]>(async () => "public");
    const scan = vi.fn(async (_: Uint8Array) => "public" as const);
    const retry = { attemptsMax: 2, baseMs: 1, capMs: 1, retryAfterMaxMs: 1 };
    await eventsOf(remote({ ports: { judge }, doors: { scan }, options: { retry } }), remoteRequest());
    const bodies = (await double.record()).requests.map(({ body }) => body);
    expect(judge.mock.calls.map(([, bytes]) => Buffer.from(bytes).toString())).toEqual(bodies);
    expect(scan.mock.calls.map(([bytes]) => Buffer.from(bytes).toString())).toEqual(bodies);
    expect(bodies).toHaveLength(2);
  });

  test("stays where the second judgement is another one", async () => {
    await double.script({ kind: "status", status: 503 });
    const verdicts = ["public", "restricted"] as const;
    let asked = 0;
    const judge = async () => verdicts[asked++] ?? "restricted";
    const retry = { attemptsMax: 3, baseMs: 1, capMs: 1, retryAfterMaxMs: 1 };
    const asking = eventsOf(remote({ ports: { judge }, options: { retry } }), remoteRequest());
    await expect(asking).rejects.toMatchObject({ code: "egress_refused" });
    expect((await double.record()).requests).toHaveLength(1);
  });

  test("does not need a judgement on the premises", async () => {
    const judge = vi.fn(async () => "restricted" as const);
    const setup = { options: { zone: "onprem" as const }, ports: { judge }, to: { ranges: [] } };
    await eventsOf(remote(setup), remoteRequest());
    expect((await double.record()).requests).toHaveLength(1);
    expect(judge).not.toHaveBeenCalled();
  });

  test("a generator of one zone cannot be made for a backend of the other", () => {
    expect(() => remote({ options: { zone: "cloud" }, to: { zone: "onprem" } })).toThrow(/no cloud backend/);
    expect(() => remote({ options: { zone: "onprem" }, to: { zone: "cloud" } })).toThrow(/no onprem backend/);
  });
});

describe("the breaker of a backend", () => {
  const breaker = { failuresMax: 2, openMs: 1000, openMaxMs: 4000, trialMs: 60_000 };
  const down = { kind: "status", status: 500 } as const;

  test("stops asking after failures, lets one request try, and closes on its success", async () => {
    const clock = new FakeClock();
    const generator = remote({ ports: { clock }, options: { breaker } });
    const ask = () =>
      eventsOf(generator, remoteRequest()).then(
        () => "ok",
        (error: { code: string; retryAfterMs?: number }) => [error.code, error.retryAfterMs],
      );
    await double.script(down, down, down);
    expect(await ask()).toEqual(["backend_failed", undefined]);
    expect(await ask()).toEqual(["backend_failed", undefined]);
    expect(await ask()).toEqual(["backend_unavailable", 1000]);
    clock.advance(400);
    expect(await ask()).toEqual(["backend_unavailable", 600]);
    expect((await double.record()).requests).toHaveLength(2);
    clock.advance(600);
    expect(await ask()).toEqual(["backend_failed", undefined]);
    expect(await ask()).toEqual(["backend_unavailable", 2000]);
    clock.advance(2000);
    expect(await ask()).toBe("ok");
    expect(await ask()).toBe("ok");
  });

  test("does not open for refusals, for a busy backend, or for requests that stay inside", async () => {
    const judge = vi.fn<RemotePorts["judge"]>(async () => "public");
    const generator = remote({ ports: { judge }, options: { breaker } });
    const codes: string[] = [];
    for (const status of [400, 400, 400, 429, 429, 429, 0, 0, 0]) {
      if (status === 0) judge.mockResolvedValueOnce("restricted");
      else await double.script({ kind: "status", status });
      await eventsOf(generator, remoteRequest()).catch((error: { code: string }) => codes.push(error.code));
    }
    expect(new Set(codes)).toEqual(new Set(["invalid_request", "overloaded", "egress_refused"]));
    expect(await eventsOf(generator, remoteRequest())).not.toEqual([]);
  });

  test("lets all in once the answer of the trial has begun, however long that answer is", async () => {
    const clock = new FakeClock();
    const generator = remote({ ports: { clock }, options: { breaker } });
    const long = { kind: "answer", texts: ["a", "b"], after: { events: 3, fate: "stall" } } as const;
    await double.script(down, down, long);
    for (let index = 0; index < 2; index += 1)
      await eventsOf(generator, remoteRequest()).catch(() => undefined);
    clock.advance(1000);
    const leave = new AbortController();
    const trial = generator.generate(remoteRequest(), leave.signal)[Symbol.asyncIterator]();
    expect((await trial.next()).value).toMatchObject({ kind: "started" });
    expect(await eventsOf(generator, remoteRequest())).not.toEqual([]);
    leave.abort();
    await trial.return?.();
  });

  const single = { ...breaker, failuresMax: 1 };

  test("does not open for a reader who lets an answer wait beyond the time limit", async () => {
    const generator = remote({ options: { breaker: single, requestTimeoutMs: 500 } });
    const stall = { kind: "answer", texts: ["a", "b"], after: { events: 3, fate: "stall" } } as const;
    await double.script(stall);
    const reading = generator.generate(remoteRequest(), AbortSignal.timeout(5000))[Symbol.asyncIterator]();
    await reading.next();
    await expect.poll(async () => (await double.record()).left).toBe(1);
    const drain = async () => {
      while ((await reading.next()).done !== true);
    };
    await expect(drain()).rejects.toMatchObject({
      code: "request_timeout",
      message: expect.stringContaining("whoever reads it"),
    });
    expect(await eventsOf(generator, remoteRequest())).not.toEqual([]);
  });

  test("opens for an answer that the backend does not complete in time", async () => {
    const generator = remote({ options: { breaker: single, requestTimeoutMs: 500 } });
    await double.script({ kind: "answer", texts: ["a", "b"], after: { events: 3, fate: "stall" } });
    await expect(eventsOf(generator, remoteRequest())).rejects.toMatchObject({
      code: "request_timeout",
      message: expect.stringContaining("The backend's answer"),
    });
    await expect(eventsOf(generator, remoteRequest())).rejects.toMatchObject({ code: "backend_unavailable" });
  });

  test("opens for answers that break off too", async () => {
    const generator = remote({ options: { breaker } });
    const cut = { kind: "answer", texts: ["a", "b"], after: { events: 2, fate: "cut" } } as const;
    await double.script(cut, cut);
    for (const code of ["backend_failed", "backend_failed", "backend_unavailable"]) {
      await expect(eventsOf(generator, remoteRequest())).rejects.toMatchObject({ code });
    }
  });
});

describe("a remote backend", () => {
  test("takes no more requests than it may have, and one more for each that ends, however it ends", async () => {
    const single = { failuresMax: 1, openMs: 1000, openMaxMs: 4000, trialMs: 60_000 };
    const generator = remote({ options: { underWayMax: 2, breaker: single } });
    await double.script({ kind: "silence" }, { kind: "status", status: 400 }, { kind: "silence" });
    const leave = new AbortController();
    const held = eventsOf(generator, remoteRequest(), leave.signal);
    held.catch(() => undefined);
    await expect.poll(async () => (await double.record()).requests.length).toBe(1);
    // Ends by an error, and gives its place back.
    await expect(eventsOf(generator, remoteRequest())).rejects.toMatchObject({ code: "invalid_request" });
    const second = eventsOf(generator, remoteRequest(), leave.signal);
    second.catch(() => undefined);
    await expect.poll(async () => (await double.record()).requests.length).toBe(3);
    for (let index = 0; index < 2; index += 1) {
      await expect(eventsOf(generator, remoteRequest())).rejects.toMatchObject({
        code: "overloaded",
        retryAfterMs: 2000,
        message: expect.stringContaining("The backend double has 2 requests under way"),
      });
    }
    expect((await double.record()).requests).toHaveLength(3);
    leave.abort();
    for (const left of [held, second]) await expect(left).rejects.toMatchObject({ code: "cancelled" });
    // By a reader that leaves in the middle.
    for (let index = 0; index < 3; index += 1)
      for await (const _ of generator.generate(remoteRequest(), AbortSignal.timeout(5000))) break;
    expect(await eventsOf(generator, remoteRequest())).not.toEqual([]);
  });

  test("is waited for as long as it asks, and not longer than the operator allows", async () => {
    const busy = { kind: "status", status: 429, headers: { "retry-after-ms": "120" } } as const;
    await double.script(busy);
    const retry = { attemptsMax: 2, baseMs: 1, capMs: 1, retryAfterMaxMs: 200 };
    const from = performance.now();
    await eventsOf(remote({ options: { retry } }), remoteRequest());
    expect(performance.now() - from).toBeGreaterThan(119);
    await open?.egress.close();
    await double.reset();
    await double.script(busy);
    const short = { ...retry, retryAfterMaxMs: 100 };
    await expect(eventsOf(remote({ options: { retry: short } }), remoteRequest())).rejects.toMatchObject({
      code: "overloaded",
      retryAfterMs: 120,
    });
    expect((await double.record()).requests).toHaveLength(1);
  });

  test("leaves a pause at once when the client leaves", async () => {
    await double.script({ kind: "status", status: 429, headers: { "retry-after": "60" } });
    const retry = { attemptsMax: 2, baseMs: 1, capMs: 1, retryAfterMaxMs: 90_000 };
    const signal = AbortSignal.timeout(150);
    const asking = eventsOf(
      remote({ options: { retry, requestTimeoutMs: 90_000 } }),
      remoteRequest(),
      signal,
    );
    await expect(asking).rejects.toMatchObject({ code: "cancelled" });
  });

  test("is asked only for models of its list, so that no text goes out as a name", async () => {
    const asking = eventsOf(remote(), remoteRequest({ model: "my salary" }));
    await expect(asking).rejects.toMatchObject({
      code: "model_not_found",
      param: "model",
      message: expect.not.stringContaining("salary"),
    });
    await nothing();
  });

  test("is not asked where its secret cannot be read", async () => {
    const secrets = async () => {
      throw new Error("no such file");
    };
    const setup = { options: { secret: secretRef("file:key") }, ports: { secrets } };
    await expect(eventsOf(remote(setup), remoteRequest())).rejects.toMatchObject({
      code: "backend_refused",
      message: expect.stringContaining("file:key"),
    });
    await nothing();
  });

  test("whose secret has a line break in it is not asked, and the secret is not shown", async () => {
    const setup = { options: { secret: secretRef("file:key") }, ports: { secrets: async () => "se\ncret" } };
    const asking = eventsOf(remote(setup), remoteRequest());
    await expect(asking).rejects.toMatchObject({ message: expect.not.stringContaining("cret") });
    await nothing();
  });

  test("that is not there is a failure with a reason", async () => {
    const gone = await startCloudDouble();
    await gone.close();
    await expect(eventsOf(remote({ port: gone.port }), remoteRequest())).rejects.toMatchObject({
      code: "backend_failed",
      message: "The backend double failed: the connection was refused.",
    });
  });

  test("whose host is not known is a failure with a reason", async () => {
    const resolve = async () => {
      throw Object.assign(new Error("getaddrinfo"), { code: "ENOTFOUND" });
    };
    await expect(eventsOf(remote({ doors: { resolve } }), remoteRequest())).rejects.toMatchObject({
      code: "backend_failed",
      message: "The backend double failed: there is no such host.",
    });
  });
});
