/** Puts the router together: classifier, policy, pins, receipts, backends. What it needs and cannot have stops the start. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createFallback } from "../engine/cloud/fallback.ts";
import type { Clock } from "../engine/core/clock.ts";
import type { Zone } from "../engine/core/policy.ts";
import { ReceiptLog } from "../engine/receipts/receipt-log.ts";
import { receiptId } from "../engine/receipts/record.ts";
import { LOCAL } from "../engine/routing/model-names.ts";
import { openPins } from "../engine/routing/pins.ts";
import { type TrialPorts, tryPolicy } from "../engine/routing/policy-trial.ts";
import { pseudonymise } from "../engine/routing/pseudonyms.ts";
import { isReleasable } from "../engine/routing/releasable.ts";
import { type RoutedBackend, RoutedGenerator } from "../engine/routing/routed.ts";
import { type KnownBackend, Router, type RouterPorts } from "../engine/routing/router.ts";
import {
  createScreener,
  type Screener,
  type ScreenerOptions,
  type ScreenerPorts,
  type ScreeningFault,
} from "../engine/screening/screener.ts";
import { type BackendPorts, openBackends } from "./backends.ts";
import type { Config } from "./config.ts";
import { lockHome } from "./home-lock.ts";
import { PolicyStore } from "./policy/policy-store.ts";
import type { Routing } from "./ports.ts";
import { drafter } from "./routes/draft.ts";
import { scanOnce } from "./scan-once.ts";

export interface RoutingLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface RoutingPorts extends Pick<BackendPorts, "clock" | "chance" | "resolve" | "hedgeSamples"> {
  readonly log: RoutingLog;
  /** The engine of this process. */
  readonly local: RouterPorts["local"] & { readonly generator: RoutedBackend };
  /** Instead of the usual ones: the size of a table of pins; bounds of the classifier, its model, its thread. */
  readonly pinTableBytes?: number;
  readonly screening?: Partial<ScreenerOptions> & ScreenerPorts;
  /** Told of each request that could not be classified. */
  readonly onFault: (fault: ScreeningFault) => void;
}

export interface BackendState {
  readonly name: string;
  readonly zone: Zone;
  readonly up: boolean;
}

export interface OpenedRouting {
  readonly routing: Routing;
  /** Serves what `routing` was asked about. */
  readonly generator: RoutedGenerator;
  /** All but this process's own engine. */
  backends(): readonly BackendState[];
  /** Runs the classifier until it is fast. Never rejects. */
  warm(): Promise<void>;
  /** Reads the policy again. */
  reload(): void;
  close(): Promise<void>;
}

const TOPIC_MODEL = join(import.meta.dirname, "..", "engine", "routing", "topic-model.bin");

/**
 * Larger bodies go to a thread, and so do smaller ones that are much to read (engine/screening/screener.ts). A text of this
 * size that was made to be slow holds the main thread for some 16 ms, an ordinary one for 1 or 2.
 */
const INLINE_CHARACTERS_MAX = 8_192;
/** Heap of the thread that reads large bodies, in MiB, and how many may wait for it. */
const SCREENING_MEMORY_MB = 512;
const SCREENING_QUEUE_MAX = 64;

/** Rejects with PolicyError, ConfigError or ReceiptLogError, and with the system's errors where state cannot be kept. */
export async function openRouting(config: Config, ports: RoutingPorts): Promise<OpenedRouting> {
  const lock = lockHome(config.home);
  try {
    const opened = await open(config, ports);
    return { ...opened, close: () => opened.close().finally(() => lock.release()) };
  } catch (error) {
    lock.release();
    throw error;
  }
}

async function open(config: Config, ports: RoutingPorts): Promise<OpenedRouting> {
  const { clock, log, local } = ports;
  const screener = openScreener(config, { onFault: ports.onFault, ...ports.screening });
  const pins = openPins({
    folder: config.pinsFolder,
    onFull: (dataClass) => log.warn({ class: dataClass }, FULL_PINS),
    ...(ports.pinTableBytes === undefined ? {} : { tableBytes: ports.pinTableBytes }),
  });
  const receipts = openReceipts(config, clock);
  // They ask each other: the doors ask what was decided, the decided ask the policy, the policy's probes ask the router.
  const parts: { generator?: RoutedGenerator; router?: Router; policy?: PolicyStore } = {};
  const backends = openBackends(config, {
    ...ports,
    judge: async (request) => parts.generator?.classOf(request) ?? "restricted",
    scan: scanOnce((bytes) => screener.judgeBytes(bytes)),
  });
  const generator = new RoutedGenerator({
    backends: new Map([...backends.generators, [LOCAL, local.generator]]),
    inTurn: createFallback,
    pseudonymise,
    atDoor: (decision) => {
      if (parts.router === undefined) throw new Error("no router is there yet");
      return parts.router.atDoor(decision);
    },
    mayLeave: (backend, request) => backends.mayLeave(backend, request),
    rememberAnswer: (caller, text, dataClass) => pins.rememberAnswer(caller, text, dataClass),
  });
  parts.generator = generator;
  const router = new Router({
    policy: () => {
      if (parts.policy === undefined) throw new Error("no policy is in force yet");
      return parts.policy.current.policy;
    },
    classify: (body, declared, bytes) => screener.classify(body, declared, bytes),
    backends: backends.known,
    local,
    aliases: config.models.aliases,
    pins,
    isReleasable: (requests) => isReleasable(requests, (bytes) => screener.judgeBytes(bytes)),
    record: (decision) => receiptId(receipts.log.append(decision)),
    topicModel: createHash("sha256").update(readFileSync(TOPIC_MODEL)).digest("hex"),
  });
  parts.router = router;
  const trial: TrialPorts = {
    classify: (body, declared, bytes) => screener.classify(body, declared, bytes),
    isReleasable: (requests) => isReleasable(requests, (bytes) => screener.judgeBytes(bytes)),
    draft: drafter(config.server),
    backends: backends.known,
    local: { autoModel: local.autoModel() ?? "", isInstalled: local.isInstalled },
    aliases: config.models.aliases,
  };
  parts.policy = await PolicyStore.open({
    file: config.routing.policyFile,
    explain: (question, policy) => tryPolicy(question, policy, trial),
    log,
  });
  parts.policy.watch();
  return {
    routing: joinRouting(router, generator, backends.known),
    generator,
    backends: () => backends.known.map(({ name, zone, isUp }) => ({ name, zone, up: isUp() })),
    warm: () => warmUp(screener),
    reload: () => void parts.policy?.reload(),
    close: async () => {
      parts.policy?.close();
      await screener.close();
      await backends.close();
      await pins.close();
      await receipts.close();
    },
  };
}

const FULL_PINS =
  "so many conversations are remembered as private that more than one in a hundred others is taken for one; " +
  "they stay in the house, and each further one makes it more. Remove the pins folder while weir is stopped to forget all";

const openScreener = (
  { routing }: Pick<Config, "routing">,
  changes: Partial<ScreenerOptions> & ScreenerPorts = {},
): Screener =>
  createScreener(
    {
      topicModel: TOPIC_MODEL,
      inlineCharactersMax: INLINE_CHARACTERS_MAX,
      timeoutMs: routing.classifyTimeoutMs,
      memoryMb: SCREENING_MEMORY_MB,
      queueMax: SCREENING_QUEUE_MAX,
      ...changes,
    },
    changes,
  );

/** Code that has run a few times is ten times as fast: the first client should not be the one who waits for that. */
async function warmUp(screener: Screener): Promise<void> {
  const thread = screener.warm();
  for (let turn = 0; turn < WARM_UPS; turn += 1) {
    const content = `${turn}. The river rises in the north, call 555-0${100 + turn} or write to info@example.org for a map.`;
    await screener.classify({ messages: [{ role: "user", content }] }, [], content.length);
  }
  await thread;
}

const WARM_UPS = 20;

/** The router as the gateway sees it. */
export const joinRouting = (
  router: Router,
  generator: RoutedGenerator,
  backends: readonly KnownBackend[],
): Routing => ({
  judge: (question) => router.judge(question),
  decide: (question, requestId) => router.decide(question, requestId),
  bind: (requests, decision) => generator.bind(requests, decision),
  outcome: (request) => generator.outcome(request),
  remoteModels: () =>
    backends.flatMap(({ name, zone, models }) =>
      models.map((model) => ({ id: `${name}/${model}`, backend: name, zone })),
    ),
});

function openReceipts(config: Config, clock: Clock): { readonly log: ReceiptLog; close(): Promise<void> } {
  const log = new ReceiptLog({
    folder: config.receiptsFolder,
    fileBytesMax: config.receipts.fileBytesMax,
    now: () => new Date(clock.wall()).toISOString(),
  });
  const timer = setInterval(() => void log.sync(), config.receipts.syncMs).unref();
  return {
    log,
    close: () => {
      clearInterval(timer);
      return log.close();
    },
  };
}
