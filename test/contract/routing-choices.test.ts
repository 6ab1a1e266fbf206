/** Several choices of one request leave together or not at all, and what is said of them is true. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { ClassifyInline } from "../../engine/screening/screener.ts";
import { type CloudDouble, startCloudDouble } from "../support/cloud-double/cloud-double.ts";
import { send } from "../support/http-client.ts";
import { doubleBackend, startRoutedServer } from "../support/routed-server.ts";

let double: CloudDouble;
beforeAll(async () => {
  double = await startCloudDouble();
});
afterAll(() => double.close());
beforeEach(() => double.reset());

/** A request is public as it came; the bytes that would leave are of the class that is given. */
async function asked(atDoor: "public" | "personal") {
  let scans = 0;
  const classifyInline: ClassifyInline = (task) => {
    if (task.kind === "body") return { class: "public", evidence: [], confidence: 1 };
    scans += 1;
    const evidence = atDoor === "public" ? [] : [{ rule: "id.card", class: atDoor, where: "" }];
    return { class: atDoor, evidence, confidence: 1 };
  };
  await using place = await startRoutedServer({
    backends: { double: doubleBackend(double.port) },
    routing: { screening: { classifyInline } },
  });
  const body = { n: 4, messages: [{ role: "user", content: "What is the capital of Norway?" }] };
  const answer = await send(`${place.url}/v1/chat/completions`, body);
  const receipts = readFileSync(join(place.home, "receipts", "receipts.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  return { answer, receipts, scans, cloud: await double.record() };
}

test("what the cloud's door doubts keeps all of them in the house, by one more decision", async () => {
  const { answer, receipts, scans, cloud } = await asked("personal");
  expect(answer.status).toBe(200);
  expect(answer.json.choices).toHaveLength(4);
  expect(["zone", "backend"].map((name) => answer.headers.get(`x-weir-${name}`))).toEqual([
    "onprem",
    "local",
  ]);
  expect({ scans, bytes: cloud.bytes }).toEqual({ scans: 1, bytes: 0 });
  expect(receipts.map(({ decision }) => [decision.zone, decision.rules])).toEqual([
    ["cloud", []],
    ["onprem", ["egress.doubt"]],
  ]);
  expect(answer.headers.get("x-weir-receipt")).toBe(`2-${receipts[1].hash.slice(0, 16)}`);
});

test("public ones leave, and are scanned once for all", async () => {
  const { answer, receipts, scans, cloud } = await asked("public");
  expect(answer.json.choices).toHaveLength(4);
  expect(answer.headers.get("x-weir-zone")).toBe("cloud");
  expect({ scans, requests: cloud.requests.length, receipts: receipts.length }).toEqual({
    scans: 1,
    requests: 4,
    receipts: 1,
  });
});
