/** Turns checked settings into the frozen configuration: camelCase, `auto` resolved, secrets wrapped. */
import { join } from "node:path";
import { leafAt, set } from "./gather.ts";
import type { Settings } from "./schema.ts";
import { Secret } from "./secret.ts";
import type { Camelled, Config, Environment, Machine } from "./types.ts";

export interface Surroundings {
  readonly env: Environment;
  readonly home: string;
  readonly file: string | undefined;
  readonly machine: Machine;
}

export function finish(settings: Settings, { env, home, file, machine }: Surroundings): Config {
  const camelled = camel(settings) as Camelled;
  const { engine, models } = camelled;
  const cores = Math.max(1, Math.floor(machine.cores / engine.lanes));
  const half = Math.floor(machine.memoryBytes / 2);
  const secret = (name: string): Secret | undefined => {
    const text = set(env[name]?.trim()) ?? set(env[name.toLowerCase()]?.trim());
    return text === undefined ? undefined : new Secret(text);
  };
  const http = secret("HTTP_PROXY");
  const https = secret("HTTPS_PROXY");
  const except = set(env["NO_PROXY"]) ?? set(env["no_proxy"]);
  const token = set(env["HF_TOKEN"]?.trim());
  return deepFreeze({
    ...camelled,
    backends: settings.backends,
    engine: { ...engine, threads: engine.threads === "auto" ? cores : engine.threads },
    models: {
      ...models,
      memoryBudgetBytes: models.memoryBudgetBytes === "auto" ? half : models.memoryBudgetBytes,
    },
    keysFile: camelled.keysFile,
    home,
    modelsFolder: join(home, "models"),
    receiptsFolder: join(home, "receipts"),
    pinsFolder: join(home, "pins"),
    downloadsFolder: join(home, "downloads"),
    file,
    hubToken: token === undefined ? undefined : new Secret(token),
    proxy: {
      ...(http === undefined ? {} : { http }),
      ...(https === undefined ? {} : { https }),
      ...(except === undefined ? {} : { except }),
    },
  });
}

function camel(value: unknown, path = ""): unknown {
  if (typeof value !== "object" || value === null || leafAt(path) !== undefined) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, child]) => [
      key.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
      camel(child, path === "" ? key : `${path}.${key}`),
    ]),
  );
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}
