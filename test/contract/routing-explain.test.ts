/** What is said of where requests run: explained beforehand, and on record afterwards, without a word of them. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type CloudDouble, startCloudDouble } from "../support/cloud-double/cloud-double.ts";
import { send } from "../support/http-client.ts";
import { ask, chat, PRIVATE, PUBLIC, receiptsOf } from "../support/routed-questions.ts";
import {
  doubleBackend,
  type RoutedServer,
  type RoutedServerSetup,
  startRoutedServer,
} from "../support/routed-server.ts";

let double: CloudDouble;
beforeAll(async () => {
  double = await startCloudDouble();
});
afterAll(() => double.close());
beforeEach(() => double.reset());

const start = (setup: RoutedServerSetup = {}, changes: object = {}): Promise<RoutedServer> =>
  startRoutedServer({ backends: { double: doubleBackend(double.port, changes) }, ...setup });

describe("POST /v1/route/explain", () => {
  const explain = (place: RoutedServer, body: unknown, headers: Record<string, string> = {}) =>
    send(`${place.url}/v1/route/explain`, body, { headers });

  test("says class, zone, backend and evidence, and repeats no text", async () => {
    await using place = await start();
    const answer = await explain(place, {
      ...chat(PRIVATE),
      metadata: { "CANARYLina earns 18,000": "write to li.na@firma.cn" },
    });
    expect(answer.status).toBe(200);
    expect(answer.json).toMatchObject({
      class: "restricted",
      zone: "onprem",
      action: "serve",
      backend: "local",
    });
    expect(answer.json.evidence).toContainEqual({
      rule: "id.cn-resident",
      class: "personal",
      where: "/messages/0/content",
    });
    expect(answer.json.policy).toMatch(/^[0-9a-f]{64}$/);
    expect(answer.text).not.toMatch(/CANARYLina|11010519|18,000/);
    expect(Object.keys(answer.json)).toEqual([
      "class",
      "zone",
      "action",
      "backend",
      "evidence",
      "policy",
      "confidence",
    ]);
    expect((await explain(place, chat(PUBLIC))).json).toMatchObject({
      class: "public",
      zone: "cloud",
      backend: "double",
      evidence: [],
    });
  });

  test("of a refusal gives the zone where it would have to run, and no backend", async () => {
    await using place = await start();
    const { json } = await explain(place, chat(PRIVATE, { model: "double/large" }));
    expect(json).toMatchObject({ action: "refuse", zone: "onprem", backend: null });
  });

  test("changes nothing: no receipt, no pin, no question to anybody", async () => {
    await using place = await start();
    const turns = chat("Give me an overview of sorting algorithms.");
    await explain(place, turns, { "x-weir-class": "restricted" });
    expect((await explain(place, turns)).json.class).toBe("public");
    expect(readFileSync(join(place.home, "receipts", "receipts.jsonl"), "utf8")).toBe("");
    expect((await double.record()).bytes).toBe(0);
    expect(place.house.calls).toEqual([]);
  });

  test.each([
    ["{}", 200, "restricted"],
    ['{"messages":"none"}', 200, "restricted"],
    ['{"messages":[{"role":"wizard","content":"hi"}]}', 200, "restricted"],
    [
      '{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]}',
      200,
      "restricted",
    ],
    [`{"prompt":${"[".repeat(200)}${"]".repeat(200)}}`, 200, "restricted"],
    ['{"prompt":"What is a river?","n":"many"}', 200, "public"],
    ["[]", 400, undefined],
    ["{", 400, undefined],
    ["", 400, undefined],
  ])("%s is %i %s", async (body, status, dataClass) => {
    await using place = await start();
    const answer = await explain(place, body);
    expect([answer.status, answer.json.class]).toEqual([status, dataClass]);
  });
});

describe("receipts", () => {
  test("are there before the answer, and say nothing of the request", async () => {
    await using place = await start();
    const [open, closed] = [await ask(place, chat(PUBLIC)), await ask(place, chat(PRIVATE))];
    const records = receiptsOf(place);
    expect(records.map(({ decision }) => [decision.class, decision.zone, decision.backend])).toEqual([
      ["public", "cloud", "double"],
      ["restricted", "onprem", "local"],
    ]);
    for (const [index, { headers }] of [open, closed].entries())
      expect(headers.get("x-weir-receipt")).toBe(`${index + 1}-${records[index].hash.slice(0, 16)}`);
  });

  test("and the rest of what is written hold no word of a private request", async () => {
    await using place = await start();
    await ask(place, chat(PRIVATE));
    await ask(place, chat(PRIVATE, { model: "double/large" }));
    await ask(place, chat(PRIVATE, { stream: true, metadata: { note: "CANARYLina" } }));
    const metrics = await send(`${place.url}/metrics`);
    const written = [
      metrics.text,
      ...place.log,
      ...place.server.log,
      ...readdirSync(place.home, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => readFileSync(join(entry.parentPath, entry.name), "latin1")),
    ].join("\n");
    expect(written.length).toBeGreaterThan(1000);
    for (const canary of ["11010519491231002X", "CANARYLina", "written warning", "18,000"])
      expect(written.includes(canary), canary).toBe(false);
  });
});
