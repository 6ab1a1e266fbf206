/**
 * A lane as the main thread sees it: one piscina pool of one thread that holds one session. Steps go over one at a time;
 * what goes wrong becomes an outcome. No AbortSignal is ever passed to the pool: piscina would kill the thread with it.
 */
import { Piscina } from "piscina";
import type { Lane } from "../core/lane.ts";
import type { StepOutcome, StepPlan } from "../core/step.ts";
import { THREAD_ARGS } from "../core/thread-args.ts";
import type { LaneLoad, LaneReply, LaneTask, Measurement, MeasureTask } from "../worker/protocol.ts";

const WORKER = new URL("../worker/lane.worker.ts", import.meta.url).href;

export interface LoadedLane extends Lane {
  /** Time to load the session, in ms, and what its cache takes when full, in bytes. */
  readonly loaded: { readonly loadMs: number; readonly cacheBytes: number };
}

/** Rejects where the model cannot be loaded; nothing is left running then. */
export async function openWorkerLane(load: LaneLoad): Promise<LoadedLane> {
  const pool = newPool();
  try {
    return new WorkerLane(pool, load, await loadInto(pool, load));
  } catch (error) {
    await pool.destroy();
    throw error;
  }
}

/** Runs a measurement in a thread of its own. */
export async function measureInWorker(measure: MeasureTask): Promise<Measurement> {
  const pool = newPool();
  try {
    const reply = await run(pool, { kind: "measure", measure });
    if (reply.kind !== "measured") throw new Error(`expected a measurement, got ${reply.kind}`);
    return reply.measurement;
  } finally {
    await pool.destroy();
  }
}

type LoadedFacts = LoadedLane["loaded"];

class WorkerLane implements LoadedLane {
  readonly loaded: LoadedFacts;
  readonly #load: LaneLoad;
  #pool: Piscina;

  constructor(pool: Piscina, load: LaneLoad, loaded: LoadedFacts) {
    this.#pool = pool;
    this.#load = load;
    this.loaded = loaded;
  }

  async run(plan: StepPlan): Promise<StepOutcome> {
    try {
      const reply = await run(this.#pool, { kind: "step", plan });
      if (reply.kind === "stepped") return reply.outcome;
      return {
        kind: "failed",
        step: plan.step,
        slotsIntact: false,
        message: `unexpected reply ${reply.kind}`,
      };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      return {
        kind: "failed",
        step: plan.step,
        slotsIntact: false,
        message: `the lane's thread failed: ${message}`,
      };
    }
  }

  async revive(): Promise<void> {
    await this.#pool.destroy();
    this.#pool = newPool();
    await loadInto(this.#pool, this.#load);
  }

  async close(): Promise<void> {
    await run(this.#pool, { kind: "unload" }).catch(() => undefined);
    await this.#pool.destroy();
  }
}

/** One task runs, one may wait (a close behind a step); more would be a bug of ours. */
function newPool(): Piscina {
  const pool = new Piscina({
    filename: WORKER,
    execArgv: [...THREAD_ARGS],
    minThreads: 1,
    maxThreads: 1,
    maxQueue: 1,
    concurrentTasksPerWorker: 1,
    idleTimeout: Number.POSITIVE_INFINITY,
    recordTiming: false,
  });
  // A thread that dies between two tasks: the pool has a new one already, whose first step fails for want of a model.
  // Without a listener the event would end the process.
  pool.on("error", () => undefined);
  return pool;
}

const run = async (pool: Piscina, task: LaneTask): Promise<LaneReply> => (await pool.run(task)) as LaneReply;

async function loadInto(pool: Piscina, load: LaneLoad): Promise<LoadedFacts> {
  const reply = await run(pool, { kind: "load", load });
  if (reply.kind !== "loaded") throw new Error(`expected a loaded model, got ${reply.kind}`);
  return { loadMs: reply.loadMs, cacheBytes: reply.cacheBytes };
}
