/** The backends of weir.yaml behind their doors: what each is called, in which zone, and how it is asked. */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Destination } from "../engine/cloud/destination.ts";
import { createEgress, type EgressPorts } from "../engine/cloud/egress.ts";
import { createHedge } from "../engine/cloud/hedge.ts";
import { anthropic } from "../engine/cloud/providers/anthropic.ts";
import { gemini } from "../engine/cloud/providers/gemini.ts";
import { openAiCompatible } from "../engine/cloud/providers/openai-compatible.ts";
import type { Provider } from "../engine/cloud/providers/provider.ts";
import type { RecentTimesOptions } from "../engine/cloud/recent-times.ts";
import {
  createRemoteGenerator,
  type RemoteOptions,
  type RemotePorts,
} from "../engine/cloud/remote-generator.ts";
import { secretRef } from "../engine/cloud/secret-ref.ts";
import type { Clock } from "../engine/core/clock.ts";
import type { GenerationRequest } from "../engine/core/request.ts";
import type { RoutedBackend } from "../engine/routing/routed.ts";
import type { KnownBackend } from "../engine/routing/router.ts";
import type { BackendSettings } from "./config/backend.ts";
import { type Config, ConfigError, readSecret } from "./config.ts";

export interface BackendPorts {
  readonly clock: Clock;
  /** In [0, 1): spreads retries. */
  readonly chance: () => number;
  /** The class of a request that a backend was handed, as it was decided. */
  readonly judge: RemotePorts["judge"];
  /** Judges bytes that are about to leave by themselves. */
  readonly scan: EgressPorts["scan"];
  /** A host's addresses; the system's own resolver where absent. */
  readonly resolve?: EgressPorts["resolve"];
  /** Of how many answers it is told what late means, where a second request is sent then; the usual ones where absent. */
  readonly hedgeSamples?: RecentTimesOptions;
}

export interface Backends {
  /** In the order of the file. */
  readonly known: readonly KnownBackend[];
  readonly generators: ReadonlyMap<string, RoutedBackend>;
  /** Whether the cloud's door would let this request out to that backend. */
  mayLeave(backend: string, request: GenerationRequest): Promise<boolean>;
  close(): Promise<void>;
}

/** The breaker stays open at most so many times as long as at first. */
const OPEN_GROWTH_MAX = 16;
/** Pauses between tries grow at most so far. */
const RETRY_GROWTH_MAX = 16;
const EVENT_CHARACTERS_MAX = 1_000_000;
/** Before so many answers began nobody knows what late means; older ones than the last so many do not count. */
const HEDGE_SAMPLES = { samplesMin: 20, samplesMax: 200 } as const;

/** Throws ConfigError for what only opening shows: ranges that are none, certificates that are not there. */
export function openBackends(config: Config, ports: BackendPorts): Backends {
  const entries = Object.entries(config.backends);
  const destinations = entries.map(([name, settings]) =>
    guarded(name, () => destinationOf(name, settings, config)),
  );
  const egress = guarded("", () =>
    createEgress(
      {
        destinations,
        webhook: undefined,
        webhookUrl: undefined,
        scanTimeoutMs: config.routing.classifyTimeoutMs,
      },
      { scan: ports.scan, ...(ports.resolve === undefined ? {} : { resolve: ports.resolve }) },
    ),
  );
  const remotePorts: RemotePorts = {
    egress,
    clock: ports.clock,
    secrets: (reference) => readSecret(reference, config),
    chance: ports.chance,
    judge: ports.judge,
  };
  const known: KnownBackend[] = [];
  const bodies = new Map<string, (request: GenerationRequest) => Uint8Array>();
  const generators = new Map<string, RoutedBackend>();
  for (const [name, settings] of entries) {
    const remote = createRemoteGenerator(remoteOptions(name, settings, config), remotePorts);
    const generator = settings.hedge
      ? createHedge(remote, remote, ports.hedgeSamples ?? HEDGE_SAMPLES, {
          clock: ports.clock,
          pause: waiting,
        })
      : remote;
    generators.set(name, generator);
    bodies.set(name, remote.bodyOf);
    const models = Object.keys(settings.models);
    known.push({
      name,
      zone: settings.zone,
      models,
      autoModel: settings.default_model ?? models[0] ?? "",
      isUp: () => remote.isUp(),
    });
  }
  const mayLeave = async (backend: string, request: GenerationRequest): Promise<boolean> => {
    const body = bodies.get(backend)?.(request);
    return body !== undefined && (await ports.scan(body)) === "public";
  };
  return { known, generators, mayLeave, close: () => egress.close() };
}

const waiting = (ms: number, signal: AbortSignal): Promise<unknown> => pause(ms, undefined, { signal });

function guarded<T>(name: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    const path = name === "" ? "backends" : `backends.${name}`;
    throw new ConfigError([{ path, where: "", message: (error as Error).message }]);
  }
}

function destinationOf(name: string, settings: BackendSettings, { file }: Config): Destination {
  const { host, protocol } = new URL(settings.url);
  const { ca_file: caFile } = settings;
  return {
    name,
    zone: settings.zone,
    hosts: [host],
    // On the premises the address says whether; for a cloud somebody has to have said so.
    plaintext: settings.plaintext || (settings.zone === "onprem" && protocol === "http:"),
    ranges: settings.ranges,
    proxy: settings.proxy,
    ca:
      caFile === undefined
        ? undefined
        : readFileSync(resolve(file === undefined ? "." : dirname(file), caFile), "utf8"),
    connectTimeoutMs: settings.connect_timeout_ms,
    headersTimeoutMs: settings.headers_timeout_ms,
    idleTimeoutMs: settings.idle_timeout_ms,
    connectionsMax: settings.connections_max,
  };
}

function remoteOptions(name: string, settings: BackendSettings, { routing }: Config): RemoteOptions {
  return {
    name,
    zone: settings.zone,
    baseUrl: settings.url,
    provider: providerOf(settings),
    models: new Map(Object.entries(settings.models)),
    secret: settings.secret === undefined ? undefined : secretRef(settings.secret),
    requestTimeoutMs: settings.request_timeout_ms,
    answerBytesMax: settings.answer_bytes_max,
    eventCharactersMax: EVENT_CHARACTERS_MAX,
    underWayMax: settings.connections_max + settings.waiting_max,
    retry: {
      attemptsMax: settings.attempts_max,
      baseMs: routing.retryMs,
      capMs: routing.retryMs * RETRY_GROWTH_MAX,
      retryAfterMaxMs: settings.retry_after_ms_max,
    },
    breaker: {
      failuresMax: settings.breaker_failures_max,
      openMs: settings.breaker_open_ms,
      openMaxMs: settings.breaker_open_ms * OPEN_GROWTH_MAX,
      trialMs: settings.connect_timeout_ms + settings.headers_timeout_ms,
    },
  };
}

function providerOf(settings: BackendSettings): Provider {
  const inHouse = settings.zone === "onprem";
  switch (settings.kind) {
    case "openai":
      return openAiCompatible({
        auth: settings.auth,
        query: settings.api_version === undefined ? "" : `?api-version=${settings.api_version}`,
        maxTokensField: settings.max_tokens_field ?? (inHouse ? "max_tokens" : "max_completion_tokens"),
        completions: settings.completions ?? inHouse,
        extras: settings.extras ?? inHouse,
      });
    case "anthropic":
      return anthropic({ maxTokensDefault: settings.max_tokens_default });
    case "gemini":
      return gemini();
  }
}
