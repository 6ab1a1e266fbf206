/** Builds everything once: catalogue, models, engine, gateway. Nothing else may see the whole house. */
import { randomInt, randomUUID } from "node:crypto";
import type { FastifyInstance } from "fastify";
import type { Clock } from "../engine/core/clock.ts";
import { NO_LANE_METER } from "../engine/core/lane-meter.ts";
import { ModelHost } from "../engine/local/model-host.ts";
import { createMetrics } from "../engine/metering/metrics.ts";
import { openCatalog } from "../models/catalog.ts";
import { buildApp } from "./app.ts";
import { isLoopback, noKeys } from "./config/exposure.ts";
import { gatewayOptions } from "./config/gateway-options.ts";
import { type Config, ConfigError, type Problem } from "./config.ts";
import { drainer } from "./drain.ts";
import { type KeyRing, openKeyRing } from "./keys/key-ring.ts";
import { storeFile } from "./keys/store.ts";
import { ModelShelf } from "./model-shelf.ts";
import { createLogger } from "./plugins/logger.ts";
import { type Access, type Readiness, unlimited } from "./ports.ts";
import { RateLimits } from "./rate-limits.ts";
import { installResident } from "./resident.ts";
import { type BackendState, openRouting } from "./routing.ts";

export interface Composed {
  readonly app: FastifyInstance;
  /** Resolves when the default model is loaded; rejects where it cannot be. */
  readonly ready: Promise<void>;
  /** Undefined where only other servers answer. */
  readonly defaultModel: { readonly name: string; readonly hasChatTemplate: boolean } | undefined;
  /** Reads policy and keys again, as on SIGHUP. */
  reload(): void;
  /** Drains within the configured time, then closes everything. */
  close(): Promise<void>;
}

export interface ComposeOptions {
  readonly clock: Clock;
  readonly version: string;
}

type Logger = ReturnType<typeof createLogger>;

/** The largest seed that is drawn for a request without one: crypto's randomInt takes less than 2^48. */
const SEED_MAX = 2 ** 47;
/** Steps of what is drawn to spread retries. */
const CHANCES = 2 ** 32;
const NO_MODEL: Problem = {
  where: "",
  path: "models.resident",
  message:
    "is false, no other model is installed, and there are no backends; import one with `weir models import FILE --name NAME`",
};

export async function compose(config: Config, { clock, version }: ComposeOptions): Promise<Composed> {
  const logger = createLogger({ level: config.log.level });
  let readiness: Readiness = { kind: "starting", reason: "the default model is loading" };
  const { shelf, host, defaultName } = await openModels(config, { clock, logger });
  const name = defaultName();
  if (name === undefined && Object.keys(config.backends).length === 0) throw new ConfigError([NO_MODEL]);
  let backends: () => readonly BackendState[] = () => [];
  const metrics = createMetrics(
    {
      clock,
      laneStats: () => shelf.laneStats(),
      ready: () => readiness.kind === "ready",
      backends: () => backends(),
    },
    { version },
  );
  const routed = await openRouting(config, {
    clock,
    log: logger,
    chance: () => randomInt(CHANCES) / CHANCES,
    onFault: (fault) => {
      metrics.classifyFailed(fault);
      logger.error({ fault }, "a request could not be classified and counts as restricted");
    },
    local: {
      autoModel: defaultName,
      isInstalled: (model) => shelf.entries().some(({ card }) => card.name === model),
      isUp: () => true,
      generator: {
        name: "local",
        zone: "onprem",
        generate: (request, signal) => host.generate(request, signal),
      },
    },
  });
  backends = routed.backends;
  const ring = openKeyRing({ store: storeFile(config.home), keysFile: config.keysFile }, logger);
  const app = await buildApp(
    {
      generator: routed.generator,
      routing: routed.routing,
      limits: new RateLimits(clock),
      models: host,
      clock,
      metrics,
      readiness: () => readiness,
      access: accessOf(config, ring),
      newRequestId: () => `req-${randomUUID()}`,
      randomSeed: () => randomInt(SEED_MAX),
      logger,
    },
    gatewayOptions(config, version),
  );
  const warm = [routed.warm(), ...(name === undefined ? [] : [host.warm(name)])];
  const ready = Promise.all(warm).then(() => {
    if (readiness.kind === "starting") readiness = { kind: "ready" };
  });
  const drain = drainer(app, {
    clock,
    drainMs: config.server.drainMs,
    endWork: async () => {
      await host.close();
      await routed.close();
      ring?.close();
    },
  });
  const close = (): Promise<void> => {
    readiness = { kind: "draining", reason: "the server is shutting down" };
    return drain();
  };
  return {
    app,
    ready,
    defaultModel:
      name === undefined ? undefined : { name, hasChatTemplate: host.find(name)?.hasChatTemplate ?? false },
    reload: () => {
      routed.reload();
      ring?.refresh();
    },
    close,
  };
}

interface Models {
  readonly shelf: ModelShelf;
  readonly host: ModelHost;
  /** Undefined where nothing is installed. */
  readonly defaultName: () => string | undefined;
}

async function openModels(
  config: Config,
  { clock, logger }: { clock: Clock; logger: Logger },
): Promise<Models> {
  const builtIn = config.models.resident ? [(await installResident(config)).folder] : [];
  const catalog = openCatalog({ folder: config.modelsFolder, builtIn });
  const shelf = new ModelShelf({ config, catalog, clock, log: logger, laneMeter: () => NO_LANE_METER });
  const host = new ModelHost(clock, () => shelf.entries(), {
    memoryBytesMax: config.models.memoryBudgetBytes,
    aliases: config.models.aliases,
  });
  return { shelf, host, defaultName: () => config.models.default ?? shelf.entries()[0]?.card.name };
}

function accessOf({ server }: Config, ring: KeyRing | undefined): Access {
  if (ring !== undefined) return { kind: "keys", verifier: ring };
  // Keys that were there a moment ago, when the configuration was checked.
  if (!isLoopback(server.host)) throw new ConfigError([noKeys(server.host)]);
  return { kind: "open", principal: unlimited("admin", undefined) };
}
