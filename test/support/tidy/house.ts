/**
 * The rules of the house as data: who may import whom, and where the few dangerous modules may stand.
 * A folder's rule holds for everything below it unless a longer folder name has its own.
 */

export interface FolderRule {
  readonly folder: string;
  /** Files and folders of the house that it may import; its own folder always is. `*` = any. */
  readonly house: readonly string[];
  /** From these it may import types, and nothing that exists at run time. */
  readonly typesOnly?: readonly string[];
  /** npm packages; `*` = any. Those in `PLACES` below are held there as well. */
  readonly packages: readonly string[];
  /** Whether `node:` modules may be imported: `none` keeps the folder pure. */
  readonly node: "none" | "any";
}

const seesAll = (folder: string): FolderRule => ({ folder, house: ["*"], packages: ["*"], node: "any" });

export const FOLDERS: readonly FolderRule[] = [
  { folder: "engine/core", house: [], packages: [], node: "none" },
  { folder: "engine/scheduler", house: ["engine/core"], packages: [], node: "none" },
  { folder: "engine/routing", house: ["engine/core"], packages: ["libphonenumber-js"], node: "any" },
  {
    folder: "engine/screening",
    house: ["engine/core", "engine/routing"],
    packages: ["piscina"],
    node: "any",
  },
  { folder: "engine/worker", house: ["engine/core"], packages: ["koffi", "onnxruntime-node"], node: "any" },
  {
    folder: "engine/lanes",
    house: ["engine/core"],
    typesOnly: ["engine/worker/protocol.ts"],
    packages: ["piscina"],
    node: "any",
  },
  {
    folder: "engine/local",
    house: ["engine/core", "engine/scheduler", "engine/lanes"],
    packages: ["@xenova/transformers", "@huggingface/jinja"],
    node: "any",
  },
  { folder: "engine/receipts", house: ["engine/core"], packages: [], node: "any" },
  { folder: "engine/cloud", house: ["engine/core"], packages: ["undici"], node: "any" },
  { folder: "engine/metering", house: ["engine/core"], packages: ["prom-client", "koffi"], node: "any" },
  {
    folder: "models",
    house: ["engine/core"],
    packages: ["zod", "@xenova/transformers"],
    node: "any",
  },
  {
    folder: "server",
    house: ["engine/core"],
    packages: [
      "fastify",
      "@fastify/swagger",
      "@fastify/swagger-ui",
      "fastify-type-provider-zod",
      "zod",
      "pino",
      "yaml",
    ],
    node: "any",
  },
  {
    folder: "server/metering",
    house: ["engine/core", "engine/metering", "server/config", "server/checked-yaml.ts"],
    packages: ["zod"],
    node: "any",
  },
  // Where everything is put together, once, and the commands.
  ...[
    "server/compose.ts",
    "server/backends.ts",
    "server/routing.ts",
    "server/model-shelf.ts",
    "server/model-tools.ts",
    "server/resident.ts",
  ].map(seesAll),
  ...["server/main.ts", "server/cli.ts", "server/cli"].map(seesAll),
  ...["bench", "scripts", "test"].map(seesAll),
];

/** Tests, benches and operator scripts stand outside the product: the rules on places do not hold there. */
export const OUTSIDE = ["bench", "scripts", "test", "vitest.config.ts"];

export interface PlaceRule {
  /** What the message calls it. */
  readonly what: string;
  readonly packages?: readonly string[];
  /** Names of those packages that anybody may import. */
  readonly harmless?: readonly string[];
  /** Written as in the source: `process.env`, `Date.now`, `fetch()`, `new Date()`. */
  readonly expressions?: readonly string[];
  /** Type imports are harmless and pass. */
  readonly allowed: readonly string[];
  readonly instead: string;
}

export const PLACES: readonly PlaceRule[] = [
  {
    what: "koffi (native calls)",
    packages: ["koffi"],
    allowed: ["engine/worker", "engine/metering/energy/nvml.ts"],
    instead: "take a Lane (engine/core/lane.ts), or an EnergySource, as an argument",
  },
  {
    what: "piscina (starting threads)",
    packages: ["piscina"],
    allowed: ["engine/lanes", "engine/screening/threads.ts"],
    instead: "take a Lane, or work to be done elsewhere, as an argument",
  },
  {
    what: "being a thread",
    packages: ["node:worker_threads"],
    allowed: [
      "engine/lanes",
      "engine/worker",
      "engine/screening/classify.worker.ts",
      "models/tokenizer/encode.worker.ts",
      "server/cli/busy-loops.ts",
    ],
    instead: "write plain functions; only an entry (*.worker.ts) knows that it is a thread",
  },
  {
    what: "prom-client",
    packages: ["prom-client"],
    allowed: ["engine/metering/metrics.ts"],
    instead: "take the metrics port as an argument",
  },
  {
    what: "the environment",
    expressions: ["process.env"],
    packages: ["node:process"],
    allowed: ["server/config.ts"],
    instead: "add a field to the schema in server/config.ts and take it as an argument",
  },
  {
    what: "the time of day",
    expressions: ["Date.now", "performance.now", "process.hrtime", "new Date()", "Date()"],
    packages: ["node:perf_hooks"],
    allowed: ["server/compose.ts", "server/main.ts", "engine/worker/lane.worker.ts"],
    instead: "take a Clock (engine/core/clock.ts) as an argument",
  },
  {
    what: "chance",
    expressions: ["Math.random"],
    allowed: [],
    instead: "use uniform(seed, position) of engine/core/random.ts, or node:crypto for an id",
  },
  {
    what: "an outside connection",
    packages: [
      "undici",
      "node:http",
      "node:https",
      "node:http2",
      "node:net",
      "node:tls",
      "node:dgram",
      "node:dns",
      "node:dns/promises",
    ],
    harmless: ["isIP", "BlockList"],
    expressions: ["fetch()", "new WebSocket()", "new EventSource()"],
    allowed: ["engine/cloud/egress.ts"],
    instead: "take one of its doors as an argument: only that file opens connections",
  },
  {
    what: "making a proof for the cloud door",
    expressions: ["provePublic()"],
    allowed: ["engine/cloud/remote-generator.ts"],
    instead: "hand the request to the remote generator, which has it judged",
  },
  {
    what: "opening the hub's door",
    expressions: ["operatorCommand()"],
    allowed: ["server/cli"],
    instead: "fetch nothing while serving: models are pulled by a person's command",
  },
];

/** Where code must stay short enough to be read in one sitting. */
export const SHORT = { folders: ["engine", "server", "models"], fileLinesMax: 400, functionLinesMax: 90 };
