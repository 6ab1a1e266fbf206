/**
 * What deciding costs the main thread. The bound is wide for slow machines; work that grows as n² would still
 * break it.
 */
import { expect, test } from "vitest";
import type { NewSequence } from "../../engine/core/sequence.ts";
import { done, newSequence, setUp, tokens } from "../support/scheduler-build.ts";

const STEPS = 2_000;
const MEDIAN_MS_MAX = 0.3;

test("a step of 64 rows that come and go, with 10,000 waiting, takes well under a millisecond", () => {
  const { clock, scheduler } = setUp({
    rowsMax: 64,
    slotTokens: 4_096,
    stepTokensMax: 512,
    chunkTokensMax: 256,
    waitingMax: 10_000,
  });
  const request = (index: number): NewSequence =>
    newSequence({ prompt: tokens(4), maxTokens: 60 + (index % 7), priority: index % 5 });
  for (let index = 0; scheduler.add(request(index)).kind === "queued"; index += 1) clock.advance(0.1);
  const times: number[] = [];
  for (let step = 0; step < STEPS; step += 1) {
    scheduler.add(request(step));
    const start = performance.now();
    const plan = scheduler.next();
    const planned = performance.now();
    if (plan === undefined) throw new Error("there was nothing to do");
    const outcome = done(plan);
    clock.advance(30);
    const back = performance.now();
    scheduler.settle(plan, outcome);
    times.push(planned - start + performance.now() - back);
  }
  expect(scheduler.runningCount).toBeGreaterThan(50);
  expect(scheduler.waitingCount).toBeGreaterThan(9_900);
  expect(times.sort((a, b) => a - b)[STEPS / 2]).toBeLessThan(MEDIAN_MS_MAX);
});
