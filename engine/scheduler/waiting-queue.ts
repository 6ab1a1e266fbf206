/**
 * Sequences that wait for a slot, best first: smaller priority, then earlier arrival, and waiting counts. A sequence
 * gains one priority level for each `agingMs` it has waited, smoothly, so of two sequences the one with the smaller
 *
 *     priority * agingMs + arrivedAt
 *
 * goes first, at whatever time one asks. That order never changes, so a heap holds it and no step sorts anything.
 *
 * Nobody starves. Take a sequence with priority p that arrives at t, and let pMin be the smallest priority in
 * use (never below -PRIORITY_SPAN). Whoever arrives after t + (p - pMin) * agingMs goes behind it. At that
 * moment at most waitingMax + rowsMax sequences are ahead. A sequence holds its slot for at most
 *
 *     H = STEPS_PER_CHUNK_MAX * ceil(slotTokens / c) + slotTokens   steps,
 *     c = min(chunkTokensMin, stepTokensMax - rowsMax + 1)
 *
 * and whenever a slot is free and no prompt is being computed, the head of the queue starts. So, steps
 * failing or not, it starts at the latest after (p - pMin) * agingMs plus the time of (1 + RETRIES_MAX) *
 * (waitingMax + rowsMax) * H steps (without the first factor where no step fails), or it times out.
 */
import { Heap } from "./heap.ts";

/** Priorities are clipped to ±this many levels: the head start that anybody can have is bounded. */
export const PRIORITY_SPAN = 100;

export interface Queued {
  readonly priority: number;
  /** Clock.now() of the arrival. */
  readonly arrivedAt: number;
  /** Breaks ties: unique, and smaller for whoever came first. */
  readonly id: number;
}

export class WaitingQueue<Item extends Queued> {
  readonly #heap: Heap<Item>;

  constructor(agingMs: number) {
    const rank = (item: Queued): number => clip(item.priority) * agingMs + item.arrivedAt;
    this.#heap = new Heap((a, b) => {
      const difference = rank(a) - rank(b);
      return difference === 0 ? a.id < b.id : difference < 0;
    });
  }

  get size(): number {
    return this.#heap.size;
  }

  add(item: Item): void {
    this.#heap.push(item);
  }

  take(): Item | undefined {
    return this.#heap.pop();
  }

  remove(item: Item): boolean {
    return this.#heap.remove(item);
  }

  /** In no particular order. */
  values(): readonly Item[] {
    return this.#heap.values();
  }
}

const clip = (priority: number): number => Math.min(PRIORITY_SPAN, Math.max(-PRIORITY_SPAN, priority));
