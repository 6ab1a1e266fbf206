/**
 * Classification off the critical path: small bodies at once, large ones on a thread, and whatever goes wrong is
 * restricted. A caller never sees an exception, and never an answer that was not checked.
 */
import { readFileSync } from "node:fs";
import type { DataClass } from "../core/data-class.ts";
import type { Evidence } from "../core/evidence.ts";
import { VIEW_BOUNDS } from "../routing/canonical.ts";
import type { Classification } from "../routing/classify.ts";
import { createTopicModel, readTopicModel } from "../routing/topic-model.ts";
import { WALK_BOUNDS } from "../routing/walk.ts";
import { checkedAnswer, type ScreeningTask } from "./protocol.ts";
import { type Means, screen } from "./screen.ts";
import { isTimeout, openThreads, type Threads } from "./threads.ts";

export interface ScreenerOptions {
  /** The model's file: its path, or its bytes. */
  readonly topicModel: string | Uint8Array;
  /** Bodies up to this size are classified on the caller's thread, in characters, if it does not hold that up for long. */
  readonly inlineCharactersMax: number;
  /** From handing a large body over to its answer, waiting included, in ms; later, it counts as restricted. */
  readonly timeoutMs: number;
  /** Heap that one thread may have, in MiB. One that asks for more ends. */
  readonly memoryMb: number;
  /** Large bodies that may wait for a thread; more count as restricted at once. */
  readonly queueMax: number;
}

/** What went wrong, for logs and counters. None of them holds text of a request. */
export type ScreeningFault = "topic_model" | "inline" | "queue_full" | "timeout" | "thread" | "answer";

export type ClassifyInline = (task: ScreeningTask, means: Means) => unknown;

export interface ScreenerPorts {
  /** How a small body is classified; what it gives is checked like a thread's answer. */
  readonly classifyInline?: ClassifyInline;
  /** The thread's entry, as an address of a file. */
  readonly worker?: URL;
  /** Told of each fault, once. */
  readonly onFault?: (fault: ScreeningFault) => void;
}

export interface Screener {
  /** `size`: of the body as it was received, in characters or bytes. Never rejects. */
  classify(body: unknown, declared: readonly Evidence[], size: number): Promise<Classification>;
  /** The class of bytes that are about to leave; for the scan of the cloud door. Never rejects. */
  judgeBytes(bytes: Uint8Array): Promise<DataClass>;
  /** Starts a thread and has it read its code, so that the first large body need not wait for that. Never rejects. */
  warm(): Promise<void>;
  /** Ends the threads; what runs on them counts as restricted. */
  close(): Promise<void>;
}

export const SCREENING_FAILED: Classification = {
  class: "restricted",
  evidence: [{ rule: "doubt.screening", class: "restricted", where: "" }],
  confidence: 1,
};

/** Never throws: with a model that cannot be read every body counts as restricted. */
export function createScreener(options: ScreenerOptions, ports: ScreenerPorts = {}): Screener {
  return new HouseScreener(options, ports);
}

/** Each of them takes some 50 microseconds. */
const INLINE_UNPACK_FAILURES_MAX = 16;
/** Size alone does not bound the time: thousands of small values make thousands of texts, each read with its neighbours. */
const INLINE_EFFORT_MAX = 16_000;
const INLINE_PARTS_MAX = 512;
/** Ends of the caller's means and not of the body's: it is read again, on a thread. */
const TOO_MUCH_HERE: ReadonlySet<string> = new Set(["doubt.views", "doubt.effort", "doubt.size"]);
/** The first large body would wait for code to be read; this one may take its time, in ms. */
const WARM_TIMEOUT_MS = 30_000;
const WARMING: ScreeningTask = { kind: "body", body: { prompt: "Good morning." }, declared: [] };

interface ReadModel {
  /** Of its file. */
  readonly bytes: Uint8Array;
  /** It, and how much may be read on the caller's thread. */
  readonly here: Means;
}

/** What a small body unpacks to is small too, or is read on a thread: each reading of it can be another text. */
const meansHere = (topics: Means["topics"], charactersMax: number): Means => ({
  topics,
  bounds: { ...WALK_BOUNDS, partsMax: INLINE_PARTS_MAX },
  views: {
    ...VIEW_BOUNDS,
    addedMax: Math.min(VIEW_BOUNDS.addedMax, charactersMax >> 1),
    unpackFailuresMax: INLINE_UNPACK_FAILURES_MAX,
  },
  effortMax: INLINE_EFFORT_MAX,
});

class HouseScreener implements Screener {
  readonly #options: ScreenerOptions;
  readonly #inline: ClassifyInline;
  readonly #onFault: (fault: ScreeningFault) => void;
  readonly #worker: URL | undefined;
  readonly #model: ReadModel | undefined;
  #threads: Threads | undefined;
  #closed = false;

  constructor(options: ScreenerOptions, ports: ScreenerPorts) {
    this.#options = options;
    this.#inline = ports.classifyInline ?? screen;
    this.#onFault = ports.onFault ?? (() => undefined);
    this.#worker = ports.worker;
    this.#model = this.#read(options);
  }

  async classify(body: unknown, declared: readonly Evidence[], size: number): Promise<Classification> {
    return this.#screened({ kind: "body", body, declared }, size);
  }

  async judgeBytes(bytes: Uint8Array): Promise<DataClass> {
    return (await this.#screened({ kind: "bytes", bytes }, bytes.length)).class;
  }

  async warm(): Promise<void> {
    if (this.#model !== undefined) await this.#onThread(WARMING, WARM_TIMEOUT_MS);
  }

  async close(): Promise<void> {
    this.#closed = true;
    const threads = this.#threads;
    this.#threads = undefined;
    await threads?.close();
  }

  async #screened(task: ScreeningTask, size: number): Promise<Classification> {
    if (this.#model === undefined) return SCREENING_FAILED;
    // Written so that a size that is no number goes to the thread.
    const small = size <= this.#options.inlineCharactersMax;
    return (
      (small ? this.#here(task, this.#model.here) : undefined) ??
      (await this.#onThread(task, this.#options.timeoutMs))
    );
  }

  /** Undefined where there is more to read than may be read here: a few bytes can stand for a book. */
  #here(task: ScreeningTask, means: Means): Classification | undefined {
    try {
      const answer = this.#checked(this.#inline(task, means), task);
      return answer.evidence.some(({ rule }) => TOO_MUCH_HERE.has(rule)) ? undefined : answer;
    } catch {
      return this.#failed("inline");
    }
  }

  async #onThread(task: ScreeningTask, timeoutMs: number): Promise<Classification> {
    if (this.#closed || this.#model === undefined) return SCREENING_FAILED;
    try {
      this.#threads ??= openThreads(
        { topicModel: this.#model.bytes },
        { ...this.#options, worker: this.#worker, onDeath: () => this.#onFault("thread") },
      );
      const answer = await this.#threads.run(task, timeoutMs);
      return answer === "queue_full" ? this.#failed("queue_full") : this.#checked(answer, task);
    } catch (error) {
      // What the error says is not looked at: it may quote the body.
      return this.#closed ? SCREENING_FAILED : this.#failed(isTimeout(error) ? "timeout" : "thread");
    }
  }

  #checked(answer: unknown, task: ScreeningTask): Classification {
    return checkedAnswer(answer, task.kind === "body" ? task.declared : []) ?? this.#failed("answer");
  }

  #failed(fault: ScreeningFault): Classification {
    this.#onFault(fault);
    return SCREENING_FAILED;
  }

  #read({ topicModel: file, inlineCharactersMax }: ScreenerOptions): ReadModel | undefined {
    try {
      const bytes = typeof file === "string" ? readFileSync(file) : file;
      const topics = createTopicModel(readTopicModel(bytes));
      return { bytes, here: meansHere(topics, inlineCharactersMax) };
    } catch {
      this.#onFault("topic_model");
      return undefined;
    }
  }
}
