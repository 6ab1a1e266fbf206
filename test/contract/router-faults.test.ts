/** A seeded hundred of fault runs; `npm run test:long` makes ten thousand. */
import { expect, test } from "vitest";
import { startCloudDouble } from "../support/cloud-double/cloud-double.ts";
import { type FaultReport, faultRun, openDeadEnd } from "../support/router-faults.ts";

const RUNS = 100;
/** At the same time, each with a cloud of its own: most of a run is waiting for what never answers. */
const LANES = 4;

test("whatever fails, no canary of a request reaches the cloud", async () => {
  const lanes = await Promise.all(Array.from({ length: LANES }, (_, lane) => runLane(lane)));
  const reports = lanes.flat();
  expect(reports).toHaveLength(RUNS);
  expect(reports.filter(({ leaked, astray }) => leaked || astray.length > 0)).toEqual([]);
  // The way out was open: a cloud that nobody can reach would see no canary either.
  expect(reports.filter(({ publicServed }) => publicServed > 0).length).toBeGreaterThan(10);
  // And what each fault is there for came about.
  const total = (count: (report: FaultReport) => number): number =>
    reports.reduce((sum, report) => sum + count(report), 0);
  expect(total(({ replaced }) => replaced)).toBeGreaterThan(10);
  expect(total(({ hedged }) => hedged)).toBeGreaterThan(0);
  expect(total(({ unrecorded }) => unrecorded)).toBeGreaterThan(0);
  expect(reports.filter(({ triedAgain }) => triedAgain)).not.toEqual([]);
});

async function runLane(lane: number): Promise<readonly FaultReport[]> {
  const double = await startCloudDouble();
  const deadEnd = await openDeadEnd();
  try {
    const reports: FaultReport[] = [];
    for (let seed = lane; seed < RUNS; seed += LANES)
      reports.push(await faultRun(seed, double, deadEnd.port));
    return reports;
  } finally {
    deadEnd.close();
    await double.close();
  }
}
