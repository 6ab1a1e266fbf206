/** Installed models as entries that the model host can open: manifest -> card, folder -> lanes, tokenizer -> codec. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { FastifyBaseLogger } from "fastify";
import { tokenId } from "../engine/core/brand.ts";
import type { Clock } from "../engine/core/clock.ts";
import { WeirError } from "../engine/core/errors.ts";
import type { LaneMeter } from "../engine/core/lane-meter.ts";
import { PAD_MAX } from "../engine/core/limits.ts";
import type { KvPrecision, ModelCard } from "../engine/core/model.ts";
import { type LoadedLane, openWorkerLane } from "../engine/lanes/worker-lane.ts";
import { ChatTemplate } from "../engine/local/chat-template.ts";
import { LocalEngine } from "../engine/local/local-engine.ts";
import type { ModelEntry, OpenModel } from "../engine/local/model-host.ts";
import type { TextCodec } from "../engine/local/text-codec.ts";
import type { LaneStats } from "../engine/metering/metrics.ts";
import type { Catalog, UsableModel } from "../models/catalog.ts";
import { COMPILER } from "../models/compile/compile.ts";
import {
  type Manifest,
  SHARED_GRAPH_NAME,
  STAGED_INT8_GRAPH_NAME,
  TOKENIZER_CONFIG_NAME,
  TOKENIZER_NAME,
} from "../models/manifest.ts";
import type { TokenizerFiles } from "../models/source.ts";
import { loadTokenizer } from "../models/tokenizer/load.ts";
import { laneLimits } from "./config/lane-limits.ts";
import type { Config } from "./config.ts";
import { graphPath } from "./model-tools.ts";

export interface ShelfPorts {
  readonly config: Config;
  readonly catalog: Catalog;
  readonly clock: Clock;
  readonly log: FastifyBaseLogger;
  /** For a lane that computes on so many threads. */
  readonly laneMeter: (threads: number) => LaneMeter;
}

/** A model that was installed meanwhile is found after this long, in ms. */
const LOOK_EVERY_MS = 500;
/** Logits of a chunk's scored rows beside those of decode rows, per lane. */
const CHUNK_LOGIT_ROWS = 32;

export class ModelShelf {
  readonly #ports: ShelfPorts;
  #known: { readonly at: number; readonly entries: readonly ModelEntry[] } | undefined;
  /** Models that cannot be served with these settings and were logged: each is logged once. */
  readonly #refused = new Set<string>();
  /** Engines in memory, for metrics. */
  readonly #open = new Map<LocalEngine, ModelCard>();

  constructor(ports: ShelfPorts) {
    this.#ports = ports;
  }

  /** What is installed, looked up anew only once in a while: requests ask for it, and every look reads folders. */
  entries(): readonly ModelEntry[] {
    const now = this.#ports.clock.now();
    if (this.#known === undefined || now - this.#known.at > LOOK_EVERY_MS) {
      this.#known = { at: now, entries: this.#look() };
    }
    return this.#known.entries;
  }

  /** The default model first; broken ones are left out (`weir models list` says why). */
  #look(): readonly ModelEntry[] {
    const usable = this.#ports.catalog
      .list()
      .filter((entry): entry is UsableModel => entry.state === "usable");
    const entries = usable.flatMap((model) => this.#entryUnlessBroken(model));
    const chosen = entries.findIndex((entry) => entry.card.name === this.#ports.config.models.default);
    const first = entries[chosen];
    return first === undefined ? entries : [first, ...entries.filter((entry) => entry !== first)];
  }

  laneStats(): readonly LaneStats[] {
    return [...this.#open].flatMap(([engine, card]) =>
      engine.snapshots().map((lane) => ({
        model: card.name,
        running: lane.slotsUsed,
        waiting: lane.waiting.length,
        kvUsage: lane.tokensCached / lane.tokensCapacity,
        slots: lane.limits.rowsMax,
        slotTokens: lane.limits.slotTokens,
      })),
    );
  }

  /** One model that cannot be served must not take the others down: it is skipped. */
  #entryUnlessBroken(model: UsableModel): readonly ModelEntry[] {
    try {
      return [this.#entry(model)];
    } catch (error) {
      if (!this.#refused.has(model.name)) {
        this.#refused.add(model.name);
        this.#ports.log.error(
          { model: model.name, why: String(error), err: error },
          "a model is left out: it cannot be served with these settings",
        );
      }
      return [];
    }
  }

  #entry(model: UsableModel): ModelEntry {
    const { engine } = this.#ports.config;
    const { manifest } = model;
    const card = cardOf(manifest, model.bytes, this.#kvOf(manifest));
    const limits = laneLimits(engine, manifest.contextLength);
    const { layers, kvHeads, headDim, vocabSize } = manifest.geometry;
    const slotElements = 2 * layers * kvHeads * headDim * (limits.slotTokens + PAD_MAX - 1);
    // Beside an int8 cache the prompt that is being read has a slot in f32.
    const cacheBytes =
      card.kv === "int8" ? slotElements * (limits.rowsMax + 1 + 4) : 4 * slotElements * (limits.rowsMax + 1);
    // Runs apart have a buffer for a row a slot or for a chunk's scored rows, shared runs one for both and what fills them up.
    const slots = Math.ceil((limits.rowsMax + 1) / PAD_MAX) * PAD_MAX;
    const logitRows = Math.max(slots, CHUNK_LOGIT_ROWS) + 2 * slots + CHUNK_LOGIT_ROWS;
    const logitBytes = 4 * vocabSize * logitRows;
    return {
      card: { ...card, contextLength: limits.slotTokens },
      version: [manifest.createdAt, ...manifest.files.map(({ sha256 }) => sha256)].join(" "),
      residentBytes: weightBytes(model, card.kv) + engine.lanes * (cacheBytes + logitBytes),
      open: () => this.#openModel(model, { ...card, contextLength: limits.slotTokens }),
    };
  }

  #kvOf({ precision }: Manifest): KvPrecision {
    const wanted = this.#ports.config.engine.kv;
    if (wanted === "auto") return precision.kv;
    // A model without calibrated scales has no int8 graph.
    return wanted === "int8" && precision.kvScales.length === 0 ? "f32" : wanted;
  }

  async #openModel(model: UsableModel, card: ModelCard): Promise<OpenModel> {
    const { config, clock, log } = this.#ports;
    const limits = laneLimits(config.engine, model.manifest.contextLength);
    const { compiler, graph } = model.manifest;
    if (graph === undefined && compiler !== COMPILER) {
      log.warn(
        { model: card.name, compiler, now: COMPILER },
        "a model was compiled by an older weir and is served more slowly than it could be; import it again",
      );
    }
    const lanes: LoadedLane[] = [];
    try {
      const codec = codecOf(model, clock);
      for (let index = 0; index < config.engine.lanes; index += 1) {
        lanes.push(
          await openWorkerLane({
            model: {
              graphPath: graphPath(model.folder, card.kv),
              layout: model.manifest.graph,
              geometry: card.geometry,
              kv: card.kv,
              kvScales: model.manifest.precision.kvScales,
            },
            rowsMax: limits.rowsMax,
            slotTokens: limits.slotTokens,
            chunkTokensMax: limits.chunkTokensMax,
            threads: config.engine.threads,
            spinning: true,
          }),
        );
      }
      const engine = new LocalEngine(
        {
          clock,
          card,
          codec,
          lanes,
          laneMeter: () => this.#ports.laneMeter(config.engine.threads),
          report: (incident) => log.warn({ model: card.name, incident }, "a lane had an incident"),
          sleep: (ms, signal) => sleep(ms, undefined, { signal }),
          repeat,
        },
        limits,
      );
      this.#open.set(engine, card);
      log.info(
        {
          model: card.name,
          device: config.engine.device,
          kv: card.kv,
          loadMs: lanes.map(({ loaded }) => Math.round(loaded.loadMs)),
          cacheBytes: lanes.reduce((sum, { loaded }) => sum + loaded.cacheBytes, 0),
        },
        "model loaded",
      );
      return {
        generate: (request, signal) => engine.generate(request, signal),
        tokenize: (text, addSpecial) => engine.tokenize(text, addSpecial),
        detokenize: (tokens) => engine.detokenize(tokens),
        close: async () => {
          this.#open.delete(engine);
          await engine.close();
          log.info({ model: card.name }, "model unloaded");
        },
      };
    } catch (error) {
      await Promise.allSettled(lanes.map((lane) => lane.close()));
      // Nothing of a request is known while a model is loaded, so whatever is said may be told.
      log.error({ model: card.name, why: String(error), err: error }, "a model could not be loaded");
      throw new WeirError(
        "model_load_failed",
        `The model ${card.name} could not be loaded; the server's log has the cause. Check it with: weir models verify ${card.name}`,
        { param: "model", cause: error },
      );
    }
  }
}

function repeat(everyMs: number, work: () => void): Disposable {
  const timer = setInterval(work, everyMs);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/**
 * The mapped file, and a copy for each session, since its kernels keep the weights in their own order. Graphs that weir
 * compiled come with a second graph, for steps that decode and compute a chunk in one run: a session of its own.
 */
function weightBytes({ manifest, bytes }: UsableModel, kv: KvPrecision): number {
  const shared = kv === "int8" ? STAGED_INT8_GRAPH_NAME : SHARED_GRAPH_NAME;
  return (manifest.files.some(({ name }) => name === shared) ? 3 : 2) * bytes;
}

function cardOf(manifest: Manifest, bytes: number, kv: KvPrecision): ModelCard {
  return {
    name: manifest.name,
    geometry: manifest.geometry,
    weights: manifest.precision.weights,
    kv,
    contextLength: manifest.contextLength,
    bosToken: manifest.tokens.bos === null ? undefined : tokenId(manifest.tokens.bos),
    endTokens: manifest.tokens.end.map(tokenId),
    createdAt: manifest.createdAt,
    hasChatTemplate: manifest.hasChatTemplate,
    weightBytes: bytes,
  };
}

function codecOf({ folder }: UsableModel, clock: Clock): TextCodec {
  const read = (name: string): Record<string, unknown> =>
    JSON.parse(readFileSync(join(folder, name), "utf8"));
  const files: TokenizerFiles = {
    tokenizerJson: read(TOKENIZER_NAME),
    tokenizerConfig: read(TOKENIZER_CONFIG_NAME),
  };
  const tokenizer = loadTokenizer(files);
  const special = (key: "bos_token" | "eos_token"): string | undefined => {
    const value = files.tokenizerConfig[key];
    if (typeof value === "string") return value;
    return typeof value === "object" && value !== null && "content" in value
      ? String(value.content)
      : undefined;
  };
  const template = new ChatTemplate({
    source: tokenizer.chatTemplate,
    bosToken: special("bos_token"),
    eosToken: special("eos_token"),
    hasToken: (text) => tokenizer.idOf(text) !== undefined,
    wall: clock.wall,
  });
  return {
    encode: (text, options) => tokenizer.encode(text, options),
    decode: (tokens) => tokenizer.decode(tokens),
    tokenBytes: (token) => tokenizer.tokenBytes(token),
    isSpecial: (token) => tokenizer.isSpecial(token),
    stripsFirstSpace: tokenizer.stripsFirstSpace,
    renderChat: (messages, tools) => template.render(messages, tools),
  };
}
