/** Ten thousand fault runs: the classifier, the policy, the house and the cloud fail in all combinations. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type CloudDouble, startCloudDouble } from "../support/cloud-double/cloud-double.ts";
import { faultRun, openDeadEnd } from "../support/router-faults.ts";

const RUNS = 10_000;

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

test(`in ${RUNS} runs no canary of a private request reaches the cloud`, async () => {
  let publicServed = 0;
  // Behind the seeds of the hundred that every test run makes.
  for (let seed = 1_000; seed < 1_000 + RUNS; seed += 1) {
    const report = await faultRun(seed, double, deadEnd.port);
    expect({ leaked: report.leaked, astray: report.astray }, JSON.stringify(report)).toEqual({
      leaked: false,
      astray: [],
    });
    publicServed += report.publicServed;
  }
  expect(publicServed).toBeGreaterThan(RUNS / 10);
});
