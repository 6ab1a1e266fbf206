/** The house around one bench model: a WEIR_HOME of its own, the configuration's defaults, the engine in this process. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { NO_LANE_METER } from "../../engine/core/lane-meter.ts";
import type { KvPrecision } from "../../engine/core/model.ts";
import type { GenerationRequest, Prompt } from "../../engine/core/request.ts";
import { ModelHost } from "../../engine/local/model-host.ts";
import { openCatalog } from "../../models/catalog.ts";
import { type Config, loadConfig } from "../../server/config.ts";
import { ModelShelf } from "../../server/model-shelf.ts";
import { createLogger } from "../../server/plugins/logger.ts";
import { newRequest } from "../../test/support/requests.ts";
import { type BenchModel, freshFolder, prepareModel } from "./models.ts";
import type { BenchOptions } from "./options.ts";
import { clock } from "./served.ts";

const NAME = "bench";

export interface House {
  readonly config: Config;
  readonly model: BenchModel;
  /** The cache that serves: the manifest's own choice unless the run asks for another. */
  readonly kv: KvPrecision;
  /** Removes all of it. */
  remove(): void;
}

export async function buildHouse(options: BenchOptions, kv: KvPrecision | undefined): Promise<House> {
  const home = freshFolder(options.cache);
  const model = await prepareModel(options, NAME, join(home, "models"));
  const settings = {
    "server.port": "0",
    "engine.threads": String(options.threads),
    "engine.kv": kv ?? "auto",
    "models.resident": "false",
    "models.default": NAME,
    "log.level": "error",
  };
  const config = loadConfig({
    env: { WEIR_HOME: home },
    cwd: home,
    flags: Object.entries(settings).map(([path, text]) => ({ path, text, flag: "bench" })),
  });
  return {
    ...{ config, model, kv: kv ?? model.manifest.precision.kv },
    remove: () => rmSync(home, { recursive: true, force: true }),
  };
}

/** The local engine under its host, loaded, without a server around it. */
export async function openHost({ config }: House): Promise<ModelHost> {
  const catalog = openCatalog({ folder: config.modelsFolder, builtIn: [] });
  const log = createLogger({ level: config.log.level });
  const shelf = new ModelShelf({ config, catalog, clock, log, laneMeter: () => NO_LANE_METER });
  const host = new ModelHost(clock, () => shelf.entries(), {
    memoryBytesMax: config.models.memoryBudgetBytes,
    aliases: {},
  });
  await host.warm(NAME);
  return host;
}

/** Greedy, and never at an end before `maxTokens`. */
export const plainRequest = (id: string, prompt: Prompt, maxTokens: number): GenerationRequest =>
  newRequest({ id, model: NAME, prompt, maxTokens, ignoreEos: true });
