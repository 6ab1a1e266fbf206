/**
 * The threads that classify large bodies. Unlike a lane's, their tasks do carry an AbortSignal: piscina ends the thread
 * of a task that is aborted and starts another, which is the one way to stop a classification that does not come to an
 * end. Such a thread holds nothing but a topic model, which the next one reads again.
 */
import { Piscina } from "piscina";
import { THREAD_ARGS } from "../core/thread-args.ts";
import { TimeLimit } from "../core/time-limit.ts";
import type { ScreeningTask, ThreadData } from "./protocol.ts";

export interface ThreadOptions {
  readonly memoryMb: number;
  readonly queueMax: number;
  readonly worker: URL | undefined;
  /** A thread ended while it had nothing to do. */
  readonly onDeath: () => void;
}

export interface Threads {
  /**
   * The thread's answer, as yet unchecked; `queue_full` where too many wait. Rejects where the time is over (see
   * `isTimeout`), the thread ends or throws, the task cannot be copied, or the threads are closed.
   */
  run(task: ScreeningTask, timeoutMs: number): Promise<unknown>;
  close(): Promise<void>;
}

/** One body at a time is the usual; the second thread keeps a slow one from holding up the next. */
const THREADS_MAX = 2;
/** The second thread ends when it had nothing to do for so long, in ms. */
const IDLE_MS = 60_000;
const WORKER = new URL("./classify.worker.ts", import.meta.url);

export function openThreads(data: ThreadData, options: ThreadOptions): Threads {
  const pool = new Piscina({
    filename: (options.worker ?? WORKER).href,
    minThreads: 1,
    maxThreads: THREADS_MAX,
    concurrentTasksPerWorker: 1,
    idleTimeout: IDLE_MS,
    workerData: data,
    resourceLimits: { maxOldGenerationSizeMb: options.memoryMb },
    recordTiming: false,
    execArgv: [...THREAD_ARGS],
  });
  // Without a listener the event would end the process.
  pool.on("error", options.onDeath);
  let waiting = 0;
  return {
    run: async (task, timeoutMs) => {
      // Counted here: piscina's own bound does not hold for tasks that carry a signal.
      if (waiting >= options.queueMax + THREADS_MAX) return "queue_full";
      waiting += 1;
      using limit = new TimeLimit(timeoutMs);
      try {
        return await pool.run(alone(task), { signal: limit.signal });
      } finally {
        waiting -= 1;
      }
    },
    close: () => pool.destroy(),
  };
}

/** Bytes that are part of a larger buffer would bring all of it along. */
const alone = (task: ScreeningTask): ScreeningTask =>
  task.kind === "bytes" ? { kind: "bytes", bytes: new Uint8Array(task.bytes) } : task;

/** Whether a run was rejected for its time. */
export const isTimeout = (error: unknown): boolean => error instanceof Error && error.name === "AbortError";
