/** What is compared, and what each system must do for it. */

export type Cell =
  /** `rows` sequences that hold `context` tokens each get `steps` more, all rows together, greedily. */
  | { readonly kind: "decode"; readonly context: number; readonly rows: number; readonly steps: number }
  /** One prompt, from nothing to its first token of answer. */
  | { readonly kind: "prefill"; readonly tokens: number };

export interface Measured {
  /** As a user of the system gets it: of all rows together. */
  readonly tokensPerSecond: number;
  /** Counting only the time inside the engine's own call, without threads, queues and JavaScript; undefined = not known. */
  readonly insidePerSecond: number | undefined;
}

export interface System {
  readonly name: string;
  readonly engine: "weir" | "llama" | "transformers";
  /** What it computes with, in words. */
  readonly settings: string;
  can(cell: Cell): boolean;
  measure(cell: Cell): Promise<Measured>;
  close(): Promise<void>;
}

/** Steps before the clock starts: threads wake up, memory is touched. They are part of no figure. */
export const WARM_STEPS = 2;

export const describeCell = (cell: Cell): string =>
  cell.kind === "decode"
    ? `decode, context ${cell.context}, ${cell.rows} ${cell.rows === 1 ? "row" : "rows"}`
    : `prefill ${cell.tokens}`;

/** Positions that a slot must have room for. */
export const positionsOf = (cell: Cell): number =>
  cell.kind === "decode" ? cell.context + WARM_STEPS + cell.steps + 1 : cell.tokens + 1;
