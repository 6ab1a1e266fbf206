/** The house that the command line tries a policy in: models and backends as configured, all up, and the real classifier. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Zone } from "../../engine/core/policy.ts";
import { classify } from "../../engine/routing/classify.ts";
import type { BackendFacts } from "../../engine/routing/decide.ts";
import { LOCAL, type NamedBackend } from "../../engine/routing/model-names.ts";
import { type TrialPorts, tryPolicy } from "../../engine/routing/policy-trial.ts";
import { isReleasable } from "../../engine/routing/releasable.ts";
import { createTopicModel, readTopicModel } from "../../engine/routing/topic-model.ts";
import { screen } from "../../engine/screening/screen.ts";
import { openCatalog } from "../../models/catalog.ts";
import type { Config } from "../config.ts";
import type { Explain } from "../policy/probes.ts";
import { drafter } from "../routes/draft.ts";
import { builtInFolders, RESIDENT_NAME } from "./built-in.ts";

const TOPIC_MODEL = fileURLToPath(new URL("../../engine/routing/topic-model.bin", import.meta.url));

/** Throws TopicModelError where the model that comes with weir is damaged. */
export function explainIn(config: Config): Explain {
  const ports = trialPorts(config);
  return (question, policy) => tryPolicy(question, policy, ports);
}

/** As `explainIn`. */
export function trialPorts(config: Config): TrialPorts {
  const topics = createTopicModel(readTopicModel(readFileSync(TOPIC_MODEL)));
  const installed = installedModels(config);
  return {
    classify: async (body, declared) => classify(body, { topics, declared }),
    isReleasable: (requests) =>
      isReleasable(requests, (bytes) => screen({ kind: "bytes", bytes }, { topics }).class),
    draft: drafter(config.server),
    backends: configured(config),
    local: { autoModel: autoModel(config, installed), isInstalled: (model) => installed.includes(model) },
    aliases: config.models.aliases,
  };
}

/** Every backend of the configuration and this engine, all up, as the router knows them. */
export function backendFacts(config: Config): readonly BackendFacts[] {
  const own = autoModel(config, installedModels(config));
  const others = configured(config).map(({ name, zone, autoModel: model }) => ({
    ...{ name, zone },
    up: true,
    autoNames: [`${name}/${model}`],
  }));
  return [...others, { name: LOCAL, zone: "onprem", up: true, autoNames: [own, `${LOCAL}/${own}`] }];
}

const configured = ({ backends }: Config): readonly (NamedBackend & { readonly zone: Zone })[] =>
  Object.entries(backends).map(([name, { zone, models, default_model: preferred }]) => {
    const names = Object.keys(models);
    return { name, zone, models: names, autoModel: preferred ?? names[0] ?? "" };
  });

function installedModels({ home, models, modelsFolder }: Config): readonly string[] {
  const builtIn = models.resident ? builtInFolders(home) : [];
  return openCatalog({ folder: modelsFolder, builtIn })
    .list()
    .map(({ name }) => name);
}

const autoModel = ({ models }: Config, installed: readonly string[]): string =>
  models.default ?? installed[0] ?? RESIDENT_NAME;
