/**
 * All models under one Generator: finds the one that a request names, loads it on first use, and unloads the least
 * recently used idle one where the memory budget asks for room.
 */
import type { TokenId } from "../core/brand.ts";
import type { Clock } from "../core/clock.ts";
import { WeirError } from "../core/errors.ts";
import type { GenerationEvent, Generator, ModelDirectory } from "../core/generator.ts";
import type { ModelCard } from "../core/model.ts";
import type { GenerationRequest } from "../core/request.ts";

/** A model in memory. */
export interface OpenModel extends Generator {
  tokenize(text: string, addSpecial: boolean): readonly TokenId[];
  detokenize(tokens: readonly TokenId[]): string;
  close(): Promise<void>;
}

/** An installed model. */
export interface ModelEntry {
  readonly card: ModelCard;
  /** Another one once the model was installed anew under its name. */
  readonly version: string;
  /** What it will take once open, in bytes, an estimate. */
  readonly residentBytes: number;
  open(): Promise<OpenModel>;
}

export interface ModelHostOptions {
  /** Open models together, in bytes. One model alone may exceed it. */
  readonly memoryBytesMax: number;
  /** Further names: what clients may send -> the model that answers. */
  readonly aliases: Readonly<Record<string, string>>;
}

interface Loaded {
  readonly entry: ModelEntry;
  readonly model: Promise<OpenModel>;
  /** Requests that use it now. */
  users: number;
  usedAt: number;
  /** Set once it is being closed. */
  closing: Promise<void> | undefined;
}

/** How long a client should wait for a place in memory, in ms: about the length of an answer. */
const BUSY_RETRY_MS = 2_000;

export class ModelHost implements Generator, ModelDirectory {
  readonly #clock: Clock;
  readonly #entries: () => readonly ModelEntry[];
  readonly #options: ModelHostOptions;
  readonly #aliases: ReadonlyMap<string, string>;
  readonly #loaded = new Map<string, Loaded>();
  /** No new request finds these: they answer the ones that they have, or are being closed. */
  readonly #leaving = new Set<Loaded>();
  #closed = false;

  /** `entries` lists what is installed now, the default model first; it is asked again for every request. */
  constructor(clock: Clock, entries: () => readonly ModelEntry[], options: ModelHostOptions) {
    this.#clock = clock;
    this.#entries = entries;
    this.#options = options;
    this.#aliases = new Map(Object.entries(options.aliases));
  }

  list(): readonly ModelCard[] {
    return this.#entries().map((entry) => entry.card);
  }

  find(name: string): ModelCard | undefined {
    return this.#find(name)?.card;
  }

  /** Loads a model before the first request asks for it. */
  async warm(name: string): Promise<void> {
    await this.#use(name, async () => undefined);
  }

  async *generate(request: GenerationRequest, signal: AbortSignal): AsyncIterable<GenerationEvent> {
    const loaded = this.#take(request.model);
    try {
      yield* (await loaded.model).generate(request, signal);
    } finally {
      this.#giveBack(loaded);
    }
  }

  tokenize(name: string, text: string, addSpecial: boolean): Promise<readonly TokenId[]> {
    return this.#use(name, async (model) => model.tokenize(text, addSpecial));
  }

  detokenize(name: string, tokens: readonly TokenId[]): Promise<string> {
    return this.#use(name, async (model) => model.detokenize(tokens));
  }

  /** Names of the models in memory, for metrics. */
  get open(): readonly string[] {
    return [...this.#loaded.keys()];
  }

  /** Ends also the answers that run. */
  async close(): Promise<void> {
    this.#closed = true;
    const all = [...this.#loaded.values(), ...this.#leaving];
    this.#loaded.clear();
    await Promise.all(all.map((loaded) => this.#closeModel(loaded)));
  }

  async #use<T>(name: string, work: (model: OpenModel) => Promise<T>): Promise<T> {
    const loaded = this.#take(name);
    try {
      return await work(await loaded.model);
    } finally {
      this.#giveBack(loaded);
    }
  }

  #find(name: string): ModelEntry | undefined {
    const real = this.#aliases.get(name) ?? name;
    return this.#entries().find((entry) => entry.card.name === real);
  }

  #take(asked: string): Loaded {
    if (this.#closed)
      throw new WeirError("draining", "The server is shutting down; send the request to another one.");
    const entry = this.#find(asked);
    if (entry === undefined) {
      throw new WeirError(
        "model_not_found",
        `The model ${quote(asked)} is not installed; GET /v1/models lists those that are.`,
        {
          param: "model",
        },
      );
    }
    const { name } = entry.card;
    const known = this.#loaded.get(name);
    // Imported again under the same name: what is in memory serves those who use it and is replaced for the others.
    if (known !== undefined && known.entry.version === entry.version) {
      known.users += 1;
      return known;
    }
    const closings = this.#makeRoom(entry.residentBytes, known);
    if (known !== undefined && this.#loaded.get(name) === known) this.#leave(name, known);
    // What makes room has to be gone first: the budget holds at every moment.
    const model = closings.length === 0 ? entry.open() : Promise.all(closings).then(() => entry.open());
    const loaded: Loaded = { entry, model, users: 1, usedAt: this.#clock.now(), closing: undefined };
    this.#loaded.set(name, loaded);
    loaded.model.catch(() => {
      // Whoever waits for it gets the error; the next request tries again.
      if (this.#loaded.get(name) === loaded) this.#loaded.delete(name);
    });
    return loaded;
  }

  #giveBack(loaded: Loaded): void {
    loaded.users -= 1;
    loaded.usedAt = this.#clock.now();
    const current = this.#loaded.get(loaded.entry.card.name) === loaded;
    if (!current && loaded.users === 0) void this.#closeModel(loaded);
  }

  /**
   * Unloads idle models, the least recently used first (`replaced`, where it is idle, before all); returns the ends to
   * wait for. Throws, and unloads none, if that is not enough. What is leaving takes its room until it is closed.
   */
  #makeRoom(bytes: number, replaced: Loaded | undefined): readonly Promise<void>[] {
    const all = [...this.#loaded];
    const sum = (models: readonly Loaded[]): number =>
      models.reduce((total, { entry }) => total + entry.residentBytes, 0);
    const leaving = [...this.#leaving];
    let over = bytes + sum(all.map(([, loaded]) => loaded)) + sum(leaving) - this.#options.memoryBytesMax;
    const closing = over > 0 ? leaving.filter((loaded) => loaded.closing !== undefined) : [];
    over -= sum(closing);
    const usedAt = (loaded: Loaded): number => (loaded === replaced ? -Infinity : loaded.usedAt);
    const idle = all.filter(([, { users }]) => users === 0).sort(([, a], [, b]) => usedAt(a) - usedAt(b));
    const chosen: typeof idle = [];
    for (const item of idle) {
      if (over <= 0 && item[1] !== replaced) break;
      chosen.push(item);
      over -= item[1].entry.residentBytes;
    }
    // One model alone may exceed the budget, but only alone.
    if (over > 0 && chosen.length + closing.length < all.length + leaving.length) {
      throw new WeirError(
        "overloaded",
        "There is no room in memory for this model while the others are busy; try again, or raise models.memory_budget_bytes.",
        { param: "model", retryAfterMs: BUSY_RETRY_MS },
      );
    }
    for (const [name, loaded] of chosen) this.#leave(name, loaded);
    return [...closing, ...chosen.map(([, loaded]) => loaded)].map((loaded) => this.#closeModel(loaded));
  }

  /** No new request finds it from now on; the last one that uses it closes it. */
  #leave(name: string, loaded: Loaded): void {
    this.#loaded.delete(name);
    this.#leaving.add(loaded);
  }

  #closeModel(loaded: Loaded): Promise<void> {
    // A model that never opened has nothing to close, and its error was given to those who asked for it.
    loaded.closing ??= loaded.model
      .then((open) => open.close())
      .catch(() => undefined)
      .finally(() => this.#leaving.delete(loaded))
      .then(() => undefined);
    return loaded.closing;
  }
}

/** Names come from clients: shown short, and only what is printable. */
const quote = (name: string): string => JSON.stringify(name.slice(0, 128).replace(/[^\x20-\x7e]/g, "?"));
