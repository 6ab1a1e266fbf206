/**
 * Two backends of one zone, raced where an answer is late: when the first has not begun after as long as 95 of 100
 * answers took to begin, the second is asked as well. Whichever begins first gives the answer, the other is left. It
 * costs requests, so it is there only for operators who ask for it.
 */
import { assert } from "../core/assert.ts";
import type { Clock } from "../core/clock.ts";
import type { GenerationEvent } from "../core/generator.ts";
import type { Zone } from "../core/policy.ts";
import type { GenerationRequest } from "../core/request.ts";
import { RecentTimes, type RecentTimesOptions } from "./recent-times.ts";
import type { ZonedGenerator } from "./zoned.ts";

export interface HedgePorts {
  readonly clock: Clock;
  /** Rejects when the signal aborts. */
  readonly pause: (ms: number, signal: AbortSignal) => Promise<unknown>;
}

/** `second` may be `first` again. A second one of another zone is a type error, and an assertion. */
export function createHedge<Z extends Zone>(
  first: ZonedGenerator<Z>,
  second: ZonedGenerator<NoInfer<Z>>,
  options: RecentTimesOptions,
  { clock, pause }: HedgePorts,
): ZonedGenerator<Z> {
  assert(first.zone === second.zone, `the hedge of ${first.zone} holds ${second.name}, which is elsewhere`);
  const starts = new RecentTimes(options);
  return {
    zone: first.zone,
    name: first.name,
    async *generate(request, client) {
      const startedAt = clock.now();
      using entries = new Entries(request, client);
      const begun = await winner(entries, { first, second, lateMs: starts.p95, pause });
      if (begun.kind === "failed") throw begun.error;
      starts.add(clock.now() - startedAt);
      entries.leaveOthers(begun.entry);
      for (let { step } = begun; step.done !== true; step = await begun.entry.next()) yield step.value;
    },
  };
}

type Events = AsyncIterator<GenerationEvent>;

/** Never rejects, so that the one that nobody waits for any more cannot bring the process down. */
type Begun =
  | { readonly kind: "began"; readonly entry: Events; readonly step: IteratorResult<GenerationEvent> }
  | { readonly kind: "failed"; readonly entry: Events; readonly error: unknown };

interface Race {
  readonly first: ZonedGenerator<Zone>;
  readonly second: ZonedGenerator<Zone>;
  /** Undefined: nothing is raced. */
  readonly lateMs: number | undefined;
  readonly pause: HedgePorts["pause"];
}

/** A failure before the pause is over is the answer: trying elsewhere is a fallback's work. */
async function winner(entries: Entries, { first, second, lateMs, pause }: Race): Promise<Begun> {
  const one = entries.ask(first);
  if (lateMs === undefined) return one;
  const over = pause(lateMs, entries.ended).then(
    () => undefined,
    () => one, // everybody has left: what the first one says of that is the answer
  );
  const early = await Promise.race([one, over]);
  if (early !== undefined) return early;
  const other = entries.ask(second);
  const sooner = await Promise.race([one, other]);
  if (sooner.kind === "began") return sooner;
  const [a, b] = await Promise.all([one, other]);
  return a.kind === "began" ? a : b;
}

/** The backends that were asked for one request. All that are left when it ends are left then. */
class Entries {
  readonly #request: GenerationRequest;
  readonly #client: AbortSignal;
  readonly #leaving = new Map<Events, AbortController>();
  readonly #end = new AbortController();

  constructor(request: GenerationRequest, client: AbortSignal) {
    this.#request = request;
    this.#client = client;
  }

  /** Aborts when the request is over, or its client leaves. */
  get ended(): AbortSignal {
    return AbortSignal.any([this.#client, this.#end.signal]);
  }

  ask(backend: ZonedGenerator<Zone>): Promise<Begun> {
    const leaving = new AbortController();
    const signal = AbortSignal.any([this.#client, leaving.signal]);
    const entry = backend.generate(this.#request, signal)[Symbol.asyncIterator]();
    this.#leaving.set(entry, leaving);
    return entry.next().then(
      (step): Begun => ({ kind: "began", entry, step }),
      (error: unknown): Begun => ({ kind: "failed", entry, error }),
    );
  }

  leaveOthers(kept: Events): void {
    for (const [entry, leaving] of this.#leaving) {
      if (entry === kept) continue;
      this.#leaving.delete(entry);
      leaving.abort();
      void entry.return?.().catch(() => undefined);
    }
  }

  [Symbol.dispose](): void {
    this.#end.abort();
    for (const [entry, leaving] of this.#leaving) {
      leaving.abort();
      void entry.return?.().catch(() => undefined);
    }
  }
}
