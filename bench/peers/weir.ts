/** weir as it serves: the real scheduler, a lane in its own thread, batch-invariant, tokens sampled there. */
import type { LaneLimits } from "../../engine/core/limits.ts";
import type { StepOutcome } from "../../engine/core/step.ts";
import { openWorkerLane } from "../../engine/lanes/worker-lane.ts";
import { Scheduler } from "../../engine/scheduler/scheduler.ts";
import type { LaneModel } from "../../engine/worker/protocol.ts";
import { clock, plainSequence, randomPrompt, servedLimits } from "../support/served.ts";
import { FilledLane } from "./filled-lane.ts";
import { type Cell, type Measured, positionsOf, type System, WARM_STEPS } from "./system.ts";

export interface WeirOptions {
  readonly name: string;
  readonly model: LaneModel;
  readonly contextLength: number;
  readonly threads: number;
  readonly cells: readonly Cell[];
}

type DecodeCell = Extract<Cell, { kind: "decode" }>;
type Done = Extract<StepOutcome, { kind: "done" }>;

export async function openWeir(options: WeirOptions): Promise<System> {
  const decodes = options.cells.filter((cell): cell is DecodeCell => cell.kind === "decode");
  const lanes = new Map<number, FilledLane>();
  for (const context of new Set(decodes.map((cell) => cell.context))) {
    const rows = Math.max(...decodes.filter((cell) => cell.context === context).map((cell) => cell.rows));
    lanes.set(context, await openFilled(options, context, rows));
  }
  const limits = servedLimits(options.contextLength);
  const prompts = await openFilled(options, 0, 1);
  const { vocabSize } = options.model.geometry;
  return {
    name: options.name,
    engine: "weir",
    settings: `${options.model.kv} cache, batch-invariant, chunks of ${limits.chunkTokensMax}`,
    can: () => true,
    measure: (cell) => {
      if (cell.kind === "prefill") return prefill(prompts, limits, cell.tokens, vocabSize);
      const lane = lanes.get(cell.context);
      if (lane === undefined) throw new Error(`no lane holds a context of ${cell.context}`);
      return decode(lane, cell, vocabSize);
    },
    close: async () => {
      for (const lane of [...lanes.values(), prompts]) await lane.close();
    },
  };
}

async function openFilled(options: WeirOptions, context: number, rows: number): Promise<FilledLane> {
  const { model, threads, cells, contextLength } = options;
  const { chunkTokensMax } = servedLimits(contextLength);
  const slotTokens = Math.max(...cells.map(positionsOf));
  const lane = await openWorkerLane({
    model,
    rowsMax: rows,
    slotTokens,
    chunkTokensMax,
    threads,
    spinning: true,
  });
  const prompts = Array.from({ length: context === 0 ? 0 : rows }, (_, row) =>
    randomPrompt(row, context + 1, model.geometry.vocabSize),
  );
  const filled = new FilledLane(lane, prompts, context);
  await filled.fill(chunkTokensMax);
  return filled;
}

async function decode(lane: FilledLane, cell: DecodeCell, vocabSize: number): Promise<Measured> {
  const { context, rows, steps } = cell;
  const scheduler = new Scheduler(clock, wholePrompts(cell));
  for (let row = 0; row < rows; row += 1) {
    // One prompt joins a step, and those that run get a token each: staggered, all reach the context together.
    const length = context - (rows - 1 - row);
    scheduler.add(plainSequence(randomPrompt(row, length, vocabSize), rows - row + WARM_STEPS + steps));
  }
  for (let step = 0; step < rows + WARM_STEPS; step += 1) await advance(scheduler, lane);
  const start = clock.now();
  let insideMs = 0;
  for (let step = 0; step < steps; step += 1) {
    const outcome = await advance(scheduler, lane);
    if (outcome.sampled.length !== rows)
      throw new Error(`a step of ${rows} rows gave ${outcome.sampled.length} tokens`);
    insideMs += outcome.decodeMs;
  }
  const seconds = (clock.now() - start) / 1000;
  if (!scheduler.idle) throw new Error("rows are left after the last step");
  return { tokensPerSecond: (rows * steps) / seconds, insidePerSecond: (1000 * rows * steps) / insideMs };
}

async function prefill(
  lane: FilledLane,
  limits: LaneLimits,
  tokens: number,
  vocabSize: number,
): Promise<Measured> {
  const scheduler = new Scheduler(clock, limits);
  const start = clock.now();
  scheduler.add(plainSequence(randomPrompt(0, tokens, vocabSize), 1));
  let insideMs = 0;
  while (!scheduler.idle) insideMs += (await advance(scheduler, lane)).chunkMs;
  const seconds = (clock.now() - start) / 1000;
  return { tokensPerSecond: tokens / seconds, insidePerSecond: (1000 * tokens) / insideMs };
}

async function advance(scheduler: Scheduler, lane: FilledLane): Promise<Done> {
  const plan = scheduler.next();
  if (plan === undefined) throw new Error("the scheduler has nothing to do");
  const outcome = await lane.run(plan);
  if (outcome.kind === "failed") throw new Error(outcome.message);
  scheduler.settle(plan, outcome);
  return outcome;
}

/** A prompt a step, whole: while the cache is only repeated, chunks cost nothing. */
const wholePrompts = ({ context, rows, steps }: DecodeCell): LaneLimits => ({
  rowsMax: rows,
  slotTokens: context + WARM_STEPS + steps + 1,
  stepTokensMax: context + rows,
  chunkTokensMax: context,
  chunkTokensMin: context,
  interTokenStretchMax: 2,
  waitingMax: rows,
  agingMs: 1000,
  requestTimeoutMs: 3_600_000,
});
