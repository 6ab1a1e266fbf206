/** What clients get from a server that shuts down. Answers here are larger than what a socket takes without a reader. */
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { drainer } from "../../../server/drain.ts";
import { send } from "../../support/http-client.ts";
import { ScriptedGenerator } from "../../support/scripted-generator.ts";
import { startTestServer } from "../../support/test-server.ts";

const TOKENS = 8;
const TOKEN_CHARACTERS = 4_000_000;
const clock = { now: () => performance.now(), wall: () => Date.now() };

async function drainable(drainMs: number, admissionMs = 0) {
  const generator = new ScriptedGenerator();
  const text = admissionMs === 0 ? "x".repeat(TOKEN_CHARACTERS) : "x";
  generator.behave = () => ({ text, neverEnds: true, admissionMs });
  const served = await startTestServer({ generator });
  let workEndedAt: number | undefined;
  const endWork = async (): Promise<void> => {
    workEndedAt = clock.now();
  };
  const drain = drainer(served.app, { clock, drainMs, endWork });
  return {
    served,
    workEndedAt: () => workEndedAt,
    drain: () => {
      served.readiness = { kind: "draining" };
      return drain();
    },
  };
}

const body = JSON.stringify({ model: "scripted", prompt: "hi", max_tokens: TOKENS });

/** A client that reads only once it is told to. Its promise is of all bytes, or of undefined where it was cut. */
function lazyClient(baseUrl: string) {
  const socket = connect(Number(new URL(baseUrl).port), "127.0.0.1");
  socket.pause();
  socket.write(
    `POST /v1/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  let bytes = 0;
  const whole = new Promise<number | undefined>((resolve) => {
    socket.on("data", (data) => {
      bytes += data.length;
    });
    socket.on("end", () => resolve(bytes));
    socket.on("error", () => resolve(undefined));
  });
  return { socket, whole };
}

const answersOf = async (generator: ScriptedGenerator): Promise<void> => {
  while (generator.calls[0]?.ended !== "finished") await sleep(5);
  await sleep(50);
};

test("a slow reader gets its whole answer while the server drains, and new work gets 503", async () => {
  const { served, drain, workEndedAt } = await drainable(20_000);
  await using _stops = served;
  const { socket, whole } = lazyClient(served.baseUrl);
  await answersOf(served.generator);
  const drained = drain();
  await sleep(100);
  const refused = await send(`${served.baseUrl}/v1/completions`, JSON.parse(body));
  expect(refused).toMatchObject({ status: 503, json: { error: { code: "draining" } } });
  expect(workEndedAt()).toBeUndefined();
  socket.resume();
  expect(await whole).toBeGreaterThan(TOKENS * TOKEN_CHARACTERS);
  await drained;
});

test("a client that never reads is cut after the deadline, not before", async () => {
  const { served, drain, workEndedAt } = await drainable(300);
  await using _stops = served;
  const { socket, whole } = lazyClient(served.baseUrl);
  await answersOf(served.generator);
  const startedAt = clock.now();
  await drain();
  expect((workEndedAt() ?? 0) - startedAt).toBeGreaterThanOrEqual(300);
  expect(clock.now() - startedAt).toBeLessThan(5_000);
  socket.resume();
  expect((await whole) ?? 0).toBeLessThan(TOKENS * TOKEN_CHARACTERS);
});

test("a request that waits, as for a model that loads, is answered before the work is ended", async () => {
  const { served, drain, workEndedAt } = await drainable(20_000, 300);
  await using _stops = served;
  const asked = send(`${served.baseUrl}/v1/completions`, JSON.parse(body)).then((answer) => ({
    answer,
    at: clock.now(),
  }));
  while (served.generator.calls.length === 0) await sleep(5);
  const startedAt = clock.now();
  await drain();
  expect((await asked).answer).toMatchObject({ status: 200, json: { usage: { completion_tokens: TOKENS } } });
  expect((workEndedAt() ?? 0) - startedAt).toBeGreaterThan(200);
});

test("a connection without a request holds nothing up, and is closed", async () => {
  const { served, drain } = await drainable(20_000);
  await using _stops = served;
  const idle = connect(Number(new URL(served.baseUrl).port), "127.0.0.1");
  const closed = new Promise((resolve) => idle.on("close", resolve));
  idle.on("error", () => undefined).resume();
  await sleep(50);
  const startedAt = clock.now();
  await drain();
  await closed;
  expect(clock.now() - startedAt).toBeLessThan(5_000);
});
