/** A seeded hundred of fault runs; `npm run test:long` makes ten thousand. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type CloudDouble, startCloudDouble } from "../support/cloud-double/cloud-double.ts";
import { type FaultReport, faultRun, openDeadEnd } from "../support/router-faults.ts";

let double: CloudDouble;
let deadEnd: Awaited<ReturnType<typeof openDeadEnd>>;
beforeAll(async () => {
  double = await startCloudDouble();
  deadEnd = await openDeadEnd();
});
afterAll(async () => {
  deadEnd.close();
  await double.close();
});

test("whatever fails, no canary of a private request reaches the cloud", async () => {
  const reports: FaultReport[] = [];
  for (let seed = 0; seed < 100; seed += 1) reports.push(await faultRun(seed, double, deadEnd.port));
  expect(reports.filter(({ leaked, astray }) => leaked || astray.length > 0)).toEqual([]);
  // The way out was open: a cloud that nobody can reach would see no canary either.
  expect(reports.filter(({ publicServed }) => publicServed > 0).length).toBeGreaterThan(10);
});
