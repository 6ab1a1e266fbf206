/** The lane of the benches, whose slots are filled once: what it lets through computes the same as a lane without it. */
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { FilledLane } from "../../bench/peers/filled-lane.ts";
import { plainSequence, randomPrompt } from "../../bench/support/served.ts";
import type { Lane } from "../../engine/core/lane.ts";
import type { LaneLimits } from "../../engine/core/limits.ts";
import type { StepPlan } from "../../engine/core/step.ts";
import { Scheduler } from "../../engine/scheduler/scheduler.ts";
import { DecoderRunner } from "../../engine/worker/runner.ts";
import { StepRunner } from "../../engine/worker/step-runner.ts";
import { makeRandomModel } from "../../scripts/make-random-model.ts";
import { compileForTest, temporaryFolder } from "../support/compiled.ts";
import { FakeClock } from "../support/fake-clock.ts";

const CONTEXT = 24;
const ROWS = 3;
const STEPS = 5;
const VOCABULARY = 320;

const limits: LaneLimits = {
  ...{ rowsMax: ROWS, slotTokens: 64, stepTokensMax: CONTEXT + ROWS },
  ...{ chunkTokensMax: CONTEXT, chunkTokensMin: CONTEXT, interTokenStretchMax: 2 },
  ...{ waitingMax: ROWS, agingMs: 1000, requestTimeoutMs: 1_000_000 },
};

const path = join(temporaryFolder(), "model.gguf");
makeRandomModel({ shape: "tiny-qwen3", type: "Q4_0", out: path, layers: 2, vocab: VOCABULARY });
const compiled = await compileForTest(path);
const runner = new DecoderRunner({
  graphPath: compiled.lane().graphPath,
  arena: { geometry: compiled.manifest.geometry, precision: "f32", slots: ROWS + 1, capacity: 65 },
  chunkTokensMax: CONTEXT,
  session: { threads: 1, spinning: false },
});
afterAll(() => runner.close());

/** Counts what reaches the model. */
function counting(): Lane & { readonly plans: StepPlan[] } {
  const steps = new StepRunner(runner, () => 0);
  const plans: StepPlan[] = [];
  return {
    plans,
    run: async (plan) => {
      plans.push(plan);
      return steps.run(plan);
    },
    revive: async () => undefined,
    close: async () => undefined,
  };
}

/** Prompts staggered as in the bench, then STEPS steps of all rows; the tokens of those. */
async function drive(lane: Lane, rows: number): Promise<readonly (readonly number[])[]> {
  const scheduler = new Scheduler(new FakeClock(), limits);
  for (let row = 0; row < rows; row += 1) {
    const length = CONTEXT - (rows - 1 - row);
    scheduler.add(plainSequence(randomPrompt(row, length, VOCABULARY), rows - row + STEPS));
  }
  const sampled: number[][] = [];
  for (let plan = scheduler.next(); plan !== undefined; plan = scheduler.next()) {
    const outcome = await lane.run(plan);
    if (outcome.kind === "failed") throw new Error(outcome.message);
    sampled.push(outcome.sampled.map(({ token }) => token));
    scheduler.settle(plan, outcome);
  }
  return sampled.slice(rows);
}

/** The same rows alone, with their whole prompts computed: the truth. */
async function truth(row: number): Promise<readonly number[]> {
  runner.clear(0);
  const prompt = randomPrompt(row, CONTEXT + 1, VOCABULARY);
  let [logits] = runner.prefill(0, 0, prompt.slice(0, CONTEXT), [CONTEXT - 1]);
  let token: number = prompt[CONTEXT] as number;
  const tokens: number[] = [];
  for (let step = 0; step < STEPS; step += 1) {
    [logits] = runner.decode([token], [CONTEXT + step]);
    token = (logits as Float32Array).indexOf(Math.max(...(logits as Float32Array)));
    tokens.push(token);
  }
  return tokens;
}

test("rows of a filled lane go on as if their prompts had just been computed, cell after cell", async () => {
  const expected: (readonly number[])[] = [];
  for (let row = 0; row < ROWS; row += 1) expected.push(await truth(row));
  const lane = counting();
  const prompts = Array.from({ length: ROWS }, (_, row) => randomPrompt(row, CONTEXT + 1, VOCABULARY));
  const filled = new FilledLane(lane, prompts, CONTEXT);
  await filled.fill(10);
  const filling = lane.plans.length;
  expect(filling).toBe(ROWS * 3);
  for (const rows of [3, 1, 2, 3]) {
    const before = lane.plans.length;
    const sampled = await drive(filled, rows);
    expect(sampled, `${rows} rows`).toEqual(
      Array.from({ length: STEPS }, (_, step) => expected.slice(0, rows).map((tokens) => tokens[step])),
    );
    const passed = lane.plans.slice(before);
    expect(passed.map(({ decode }) => decode.length)).toEqual(Array.from({ length: STEPS }, () => rows));
    expect(passed[0]?.decode.map(({ position }) => position)).toEqual(
      Array.from({ length: rows }, () => CONTEXT),
    );
  }
});
