/** Ten thousand fault runs: the classifier, the policy, the house and the cloud fail in all combinations. */
import { expect, test } from "vitest";
import { startCloudDouble } from "../support/cloud-double/cloud-double.ts";
import { faultRun, openDeadEnd } from "../support/router-faults.ts";

const RUNS = 10_000;

/** At the same time, each with a cloud of its own. */
const LANES = 4;
/** About a quarter of an hour on two idle cores. */
const LIMIT_MS = 3 * 3_600_000;

test(
  `in ${RUNS} runs no canary of a private request reaches the cloud`,
  async () => {
    // Behind the seeds of the hundred that every test run makes.
    const seeds = Array.from({ length: RUNS }, (_, index) => 1_000 + index);
    const served = await Promise.all(
      Array.from({ length: LANES }, (_, lane) => runLane(seeds.filter((seed) => seed % LANES === lane))),
    );
    expect(served.reduce((sum, count) => sum + count, 0)).toBeGreaterThan(RUNS / 10);
  },
  LIMIT_MS,
);

/** How many public requests the cloud answered meanwhile. */
async function runLane(seeds: readonly number[]): Promise<number> {
  const double = await startCloudDouble();
  const deadEnd = await openDeadEnd();
  let publicServed = 0;
  try {
    for (const seed of seeds) {
      const report = await faultRun(seed, double, deadEnd.port);
      const { leaked, astray } = report;
      expect({ leaked, astray }, JSON.stringify(report)).toEqual({ leaked: false, astray: [] });
      publicServed += report.publicServed;
      if (seed % 1000 === 0) console.log(`seed ${seed} done`);
    }
    return publicServed;
  } finally {
    deadEnd.close();
    await double.close();
  }
}
