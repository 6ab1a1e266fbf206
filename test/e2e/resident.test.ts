/** The model that comes with weir, as a newcomer meets it: one command, no settings. */
import { availableParallelism, loadavg } from "node:os";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { contractSuite } from "../contract/contract-suite.ts";
import { Served, serve, temporaryHome } from "../support/served.ts";

const NAME = "weir-resident";
const READY_MS_MAX = 3_000;

const home = temporaryHome();

describe("the resident model", () => {
  let served: Served;
  beforeAll(async () => {
    served = await serve({ home });
  });
  afterAll(() => served?.stop());

  test("is served first under its name, and answers the line that weir prints", async () => {
    const { data } = await new OpenAI({ baseURL: `${served.url}/v1`, apiKey: "none" }).models.list();
    expect(data[0]?.id).toBe(NAME);
    const line = served.output.split("\n").find((text) => text.startsWith("Try:")) ?? "";
    const [, url, body] = /curl -s (\S+) .* -d '(.*)'$/.exec(line) ?? [];
    const answer = await fetch(String(url), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: String(body),
    });
    expect(answer.status).toBe(200);
    const { choices } = (await answer.json()) as OpenAI.ChatCompletion;
    expect(choices[0]?.message.content).toMatch(/[a-z]{3}/);
    expect(served.output).toMatch(/For a stronger model: {2}\S.* models pull /);
  });

  test("is ready within 3 s of the start", async () => {
    // A home has one server at a time. The first start of all has compiled the model; this is what every later one takes.
    await served.stop();
    const again = new Served({ home });
    await using _stops = again;
    const wallMs = await again.ready();
    const cpuMs = again.cpuMs ?? Number.POSITIVE_INFINITY;
    const load = `load ${loadavg()[0]?.toFixed(1)} on ${availableParallelism()} cores`;
    console.warn(`start to ready: ${Math.round(wallMs)} ms, of the processor's time ${cpuMs} ms (${load})`);
    // Where others use the processor too, its time is what weir itself needed: a start neither sleeps nor waits for others.
    expect(Math.min(wallMs, cpuMs)).toBeLessThan(READY_MS_MAX);
  });
});

contractSuite("the OpenAI contract, by the resident model", async () => {
  const served = await serve({ home });
  return { baseUrl: served.url, model: NAME, [Symbol.asyncDispose]: () => served[Symbol.asyncDispose]() };
});
