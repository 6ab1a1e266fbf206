/**
 * Prometheus metrics, and the only place that knows their library. Counts of running and waiting requests are asked for
 * at scrape time, so that they are never stale. Names with `vllm:` mean what they mean there, so that dashboards and
 * endpoint pickers made for vLLM work unchanged.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Clock } from "../core/clock.ts";
import type { DataClass } from "../core/data-class.ts";
import type { WeirError } from "../core/errors.ts";
import type { FinishReason, GenerationEvent, Generator, Usage } from "../core/generator.ts";
import type { Zone } from "../core/policy.ts";
import type { GenerationRequest } from "../core/request.ts";

/** What one lane is doing at this moment. */
export interface LaneStats {
  readonly model: string;
  /** Sequences that hold a slot. */
  readonly running: number;
  /** Sequences in the queue. */
  readonly waiting: number;
  /** Share of the cache that is in use, 0 to 1. */
  readonly kvUsage: number;
  /** Slots, and tokens that each can hold. */
  readonly slots: number;
  readonly slotTokens: number;
}

export interface MetricsPorts {
  readonly clock: Clock;
  /** Asked at every scrape. Several lanes of one model are added up. */
  readonly laneStats: () => readonly LaneStats[];
  readonly ready: () => boolean;
  /** Asked at every scrape: the backends beside this engine. */
  readonly backends: () => readonly { readonly name: string; readonly zone: Zone; readonly up: boolean }[];
}

const SECONDS_SHORT = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5,
];
const SECONDS_LONG = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 320,
];
const TOKENS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000];
const MODEL = ["model_name"] as const;

export function createMetrics(ports: MetricsPorts, options: { readonly version: string }) {
  const register = new Registry();
  collectDefaultMetrics({ register });
  const http = httpMetrics(register);
  const routing = routingMetrics(register, ports);
  const generation = generationMetrics(register);
  stateMetrics(register, ports, options.version);
  return {
    ...http,
    ...routing,
    measure: (inner: Generator): Generator => ({
      generate: (request, signal) =>
        measured(inner.generate(request, signal), request, signal, generation, ports.clock),
    }),
    text: () => register.metrics(),
    contentType: register.contentType,
  };
}

function httpMetrics(register: Registry) {
  const registers = [register];
  const requests = new Counter({
    name: "weir_http_requests_total",
    help: "HTTP requests by route pattern, method and status.",
    labelNames: ["route", "method", "status"],
    registers,
  });
  const seconds = new Histogram({
    name: "weir_http_request_duration_seconds",
    help: "From the request's headers to the answer's end, streams included.",
    labelNames: ["route"],
    buckets: SECONDS_LONG,
    registers,
  });
  const errors = new Counter({
    name: "weir_errors_total",
    help: "Failed requests by error code.",
    labelNames: ["code"],
    registers,
  });
  const streams = new Gauge({ name: "weir_open_streams", help: "Answers being streamed.", registers });
  return {
    answered(request: { route: string; method: string; status: number; elapsedMs: number }): void {
      requests.inc({ route: request.route, method: request.method, status: request.status });
      seconds.observe({ route: request.route }, request.elapsedMs / 1000);
    },
    failed: (error: WeirError): void => errors.inc({ code: error.code }),
    streamOpened: (): void => streams.inc(),
    streamClosed: (): void => streams.dec(),
  };
}

/** One decision about where a request runs. */
export interface RouteFacts {
  readonly class: DataClass;
  readonly zone: Zone;
  readonly action: "serve" | "refuse";
  readonly elapsedMs: number;
}

function routingMetrics(register: Registry, ports: MetricsPorts) {
  const registers = [register];
  const decisions = new Counter({
    name: "weir_route_decisions_total",
    help: "Requests by the class of their data, the zone where they run, and whether they were served.",
    labelNames: ["class", "zone", "action"],
    registers,
  });
  const seconds = new Histogram({
    name: "weir_route_duration_seconds",
    help: "Classifying a request and deciding where it runs.",
    buckets: SECONDS_SHORT,
    registers,
  });
  const faults = new Counter({
    name: "weir_classify_faults_total",
    help: "Requests that could not be classified and count as restricted.",
    labelNames: ["fault"],
    registers,
  });
  new Gauge({
    name: "weir_backend_up",
    help: "1 while a backend is asked, 0 while its last answers failed.",
    labelNames: ["backend", "zone"],
    registers,
    collect() {
      this.reset();
      for (const { name, zone, up } of ports.backends()) this.set({ backend: name, zone }, up ? 1 : 0);
    },
  });
  return {
    routed({ class: dataClass, zone, action, elapsedMs }: RouteFacts): void {
      decisions.inc({ class: dataClass, zone, action });
      seconds.observe(elapsedMs / 1000);
    },
    classifyFailed: (fault: string): void => faults.inc({ fault }),
  };
}

type GenerationMetrics = ReturnType<typeof generationMetrics>;

function generationMetrics(register: Registry) {
  const registers = [register];
  const counter = <Label extends string>(name: string, help: string, labelNames: readonly Label[]) =>
    new Counter({ name, help, labelNames: [...labelNames], registers });
  const histogram = (name: string, help: string, buckets: number[]) =>
    new Histogram({ name, help, labelNames: [...MODEL], buckets, registers });
  return {
    promptTokens: counter("vllm:prompt_tokens_total", "Prompt tokens computed.", MODEL),
    generationTokens: counter("vllm:generation_tokens_total", "Answer tokens.", MODEL),
    cacheQueries: counter(
      "vllm:prefix_cache_queries_total",
      "Prompt tokens looked up in the prefix cache.",
      MODEL,
    ),
    cacheHits: counter("vllm:prefix_cache_hits_total", "Prompt tokens found in the prefix cache.", MODEL),
    success: counter("vllm:request_success_total", "Generations by how they ended.", [
      ...MODEL,
      "finished_reason",
    ]),
    firstToken: histogram(
      "vllm:time_to_first_token_seconds",
      "From the request to its first token.",
      SECONDS_LONG,
    ),
    interToken: histogram("vllm:inter_token_latency_seconds", "Between tokens of one answer.", SECONDS_SHORT),
    endToEnd: histogram(
      "vllm:e2e_request_latency_seconds",
      "From the request to its last token.",
      SECONDS_LONG,
    ),
    queue: histogram("vllm:request_queue_time_seconds", "Waiting for a slot.", SECONDS_LONG),
    prefill: histogram(
      "vllm:request_prefill_time_seconds",
      "From the slot to the first token.",
      SECONDS_LONG,
    ),
    decode: histogram("vllm:request_decode_time_seconds", "From the first token to the last.", SECONDS_LONG),
    promptLength: histogram("vllm:request_prompt_tokens", "Prompt tokens per generation.", TOKENS),
    answerLength: histogram("vllm:request_generation_tokens", "Answer tokens per generation.", TOKENS),
  };
}

async function* measured(
  events: AsyncIterable<GenerationEvent>,
  request: GenerationRequest,
  signal: AbortSignal,
  metrics: GenerationMetrics,
  clock: Clock,
): AsyncIterable<GenerationEvent> {
  const labels = { model_name: request.model };
  const startedAt = clock.now();
  const pace = new Pace(metrics, labels, startedAt);
  let promptTokens = 0;
  let ended: FinishReason | "error" | "abort" = "error";
  let left = true;
  try {
    for await (const event of events) {
      if (event.kind === "started") promptTokens = event.promptTokens;
      else if (event.kind === "text" && event.tokens.length > 0) {
        if (!pace.begun) metrics.promptTokens.inc(labels, promptTokens);
        pace.tell(event.tokens.length, clock.now());
      } else if (event.kind === "text" && event.text !== "") {
        // Remote backends do not tell their tokens: how many there were is known at the end.
        if (!pace.begun) metrics.promptTokens.inc(labels, promptTokens);
        pace.begin(clock.now());
      } else if (event.kind === "finished") {
        ended = event.reason;
        if (!pace.begun) metrics.promptTokens.inc(labels, promptTokens);
        const now = clock.now();
        pace.finish(event.usage, now);
        recordUsage(metrics, labels, event.usage, now - startedAt);
      }
      yield event;
    }
    left = false;
  } catch (error) {
    left = signal.aborted;
    throw error;
  } finally {
    const reason = ended === "error" && left ? "abort" : ended;
    metrics.success.inc({ ...labels, finished_reason: reason });
  }
}

/**
 * One answer's tokens over time: one gap between any two of them, however they are told. Tokens that come together (a
 * character made of several, text that waited for a stop string or for a slow reader) share the time since the last.
 */
class Pace {
  readonly #metrics: GenerationMetrics;
  readonly #labels: { readonly model_name: string };
  readonly #startedAt: number;
  #lastAt: number | undefined;
  #told = 0;
  /** Tokens that were told with the first one: when they came is known only at the end. */
  #early = 0;
  #gapsMs = 0;

  constructor(metrics: GenerationMetrics, labels: { readonly model_name: string }, startedAt: number) {
    this.#metrics = metrics;
    this.#labels = labels;
    this.#startedAt = startedAt;
  }

  /** A token was told. */
  get begun(): boolean {
    return this.#lastAt !== undefined;
  }

  /** Text of tokens that are not told one by one has come. */
  begin(now: number): void {
    if (this.#lastAt !== undefined) return;
    this.#metrics.firstToken.observe(this.#labels, (now - this.#startedAt) / 1000);
    this.#lastAt = now;
  }

  tell(tokens: number, now: number): void {
    this.#metrics.generationTokens.inc(this.#labels, tokens);
    this.#told += tokens;
    if (this.#lastAt === undefined) {
      this.#metrics.firstToken.observe(this.#labels, (now - this.#startedAt) / 1000);
      this.#early = tokens - 1;
    } else this.#gaps(tokens, now - this.#lastAt);
    this.#lastAt = now;
  }

  /** Tokens that no event told (an end token, those of a stop string) were computed all the same. */
  finish(usage: Usage, now: number): void {
    const untold = usage.completionTokens - this.#told;
    if (untold > 0) this.tell(untold, now);
    this.#gaps(this.#early, Math.max(0, usage.decodeMs - this.#gapsMs));
  }

  #gaps(count: number, ms: number): void {
    this.#gapsMs += ms;
    for (let i = 0; i < count; i += 1) this.#metrics.interToken.observe(this.#labels, ms / count / 1000);
  }
}

function recordUsage(
  metrics: GenerationMetrics,
  labels: { model_name: string },
  usage: Usage,
  totalMs: number,
): void {
  metrics.cacheQueries.inc(labels, usage.promptTokens);
  metrics.cacheHits.inc(labels, usage.cachedTokens);
  metrics.endToEnd.observe(labels, totalMs / 1000);
  metrics.queue.observe(labels, usage.queueMs / 1000);
  metrics.prefill.observe(labels, usage.prefillMs / 1000);
  metrics.decode.observe(labels, usage.decodeMs / 1000);
  metrics.promptLength.observe(labels, usage.promptTokens);
  metrics.answerLength.observe(labels, usage.completionTokens);
}

function stateMetrics(register: Registry, ports: MetricsPorts, version: string): void {
  const registers = [register];
  const byModel = (name: string, help: string, value: (lanes: readonly LaneStats[]) => number) =>
    new Gauge({
      name,
      help,
      labelNames: [...MODEL],
      registers,
      collect() {
        this.reset();
        const lanes = Map.groupBy(ports.laneStats(), (lane) => lane.model);
        for (const [model_name, of] of lanes) this.set({ model_name }, value(of));
      },
    });
  const sum = (pick: (lane: LaneStats) => number) => (lanes: readonly LaneStats[]) =>
    lanes.reduce((total, lane) => total + pick(lane), 0);
  const mean = (pick: (lane: LaneStats) => number) => (lanes: readonly LaneStats[]) =>
    sum(pick)(lanes) / lanes.length;
  byModel(
    "vllm:num_requests_running",
    "Sequences that hold a slot.",
    sum((lane) => lane.running),
  );
  byModel(
    "vllm:num_requests_waiting",
    "Sequences in the queue.",
    sum((lane) => lane.waiting),
  );
  byModel(
    "vllm:kv_cache_usage_perc",
    "Share of the cache in use, 0 to 1.",
    mean((lane) => lane.kvUsage),
  );
  byModel(
    "vllm:gpu_cache_usage_perc",
    "The old name of vllm:kv_cache_usage_perc.",
    mean((lane) => lane.kvUsage),
  );
  byModel(
    "weir_cache_tokens",
    "Tokens that the cache can hold.",
    sum((lane) => lane.slots * lane.slotTokens),
  );
  new Gauge({
    name: "vllm:cache_config_info",
    help: "The cache's shape: one block is one slot.",
    labelNames: [...MODEL, "block_size", "num_gpu_blocks"],
    registers,
    collect() {
      this.reset();
      for (const [model_name, lanes] of Map.groupBy(ports.laneStats(), (lane) => lane.model)) {
        const blocks = lanes.reduce((total, lane) => total + lane.slots, 0);
        this.set({ model_name, block_size: lanes[0]?.slotTokens ?? 0, num_gpu_blocks: blocks }, 1);
      }
    },
  });
  new Gauge({
    name: "weir_ready",
    help: "1 while the server takes requests.",
    registers,
    collect() {
      this.set(ports.ready() ? 1 : 0);
    },
  });
  new Gauge({
    name: "weir_build_info",
    help: "The version that runs.",
    labelNames: ["version"],
    registers,
  }).set({ version }, 1);
}
