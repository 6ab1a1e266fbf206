/** The choices of a request are judged once; whatever else differs is judged by itself. */
import { expect, test } from "vitest";
import type { DataClass } from "../../engine/core/data-class.ts";
import { scanOnce } from "../../server/scan-once.ts";

const bytesOf = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));

function counting(verdict: () => Promise<DataClass> = async () => "public") {
  let calls = 0;
  const scan = scanOnce(() => {
    calls += 1;
    return verdict();
  });
  return { scan, calls: () => calls };
}

test("bytes that differ in their seed alone are scanned once, also at the same time", async () => {
  const { scan, calls } = counting();
  const bodies = [1, 22, 65_535].map((seed) => bytesOf({ model: "m", seed, messages: ["hi"] }));
  expect(await Promise.all(bodies.map(scan))).toEqual(["public", "public", "public"]);
  expect(calls()).toBe(1);
});

test("a seed inside a text, a longer number and any other difference are scanned", async () => {
  const { scan, calls } = counting();
  for (const body of [
    { model: "m", seed: 1, text: "hi" },
    { model: "m", seed: 1, text: "ho" },
    { model: "m", seed: 13_800_138_000, text: "hi" },
    { model: "m", text: ',"seed":1,' },
    { model: "m", text: ',"seed":2,' },
  ])
    await scan(bytesOf(body));
  expect(calls()).toBe(5);
});

test("a doubt and a failure are not kept", async () => {
  let fails = true;
  const { scan, calls } = counting(async () => {
    if (fails) throw new Error("boom");
    return "personal";
  });
  const body = bytesOf({ a: 1 });
  expect(await scan(body)).toBe("restricted");
  fails = false;
  expect(await scan(body)).toBe("personal");
  await scan(body);
  expect(calls()).toBe(3);
});

test("no more than a bounded number of verdicts is kept", async () => {
  const { scan, calls } = counting();
  for (let index = 0; index < 300; index += 1) await scan(bytesOf({ index: `${index}` }));
  await scan(bytesOf({ index: "0" }));
  expect(calls()).toBe(301);
});
