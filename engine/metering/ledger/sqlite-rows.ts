/** A row of `lines`, joined with its dictionaries, as the entry that it was made of. */
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import type { DataClass } from "../../core/data-class.ts";
import { type EnergyTier, microjoules } from "../../core/energy.ts";
import { type LedgerEntry, type LedgerLine, microUsd } from "../../core/ledger.ts";
import type { Zone } from "../../core/policy.ts";
import { unpackedId } from "./chain.ts";
import { LedgerError, type Recorded } from "./ledger.ts";

export const LINE_KINDS: readonly LedgerLine[] = ["work", "idle", "overhead"];
export const OUTCOMES: readonly LedgerEntry["outcome"][] = ["finished", "aborted", "failed"];
export const ESTIMATED_BIT = 4;
export const COUNTED_BIT = 8;

const SELECT = `
SELECT seq, request, choice, attempt, kind, at, flags, prompt_tokens, cached_tokens, completion_tokens, energy_uj, below_uj,
  above_uj, cost_price, cost_energy, cost_hardware, queue_us, prefill_us, decode_us, corrects, digest, hash,
  shared.line AS shared_line, shared.zone, shared.backend, shared.model, shared.class, shared.team, shared."key", shared.agent, shared.tier,
  priced.identity AS priced, persons.identity AS person
FROM lines
  LEFT JOIN shared ON shared.id = lines.shared
  LEFT JOIN priced ON priced.id = lines.priced
  LEFT JOIN persons ON persons.id = lines.person`;

export interface LineRow {
  readonly seq: number;
  readonly request: string | Uint8Array;
  readonly choice: number;
  readonly attempt: number;
  readonly kind: number;
  readonly at: number;
  readonly flags: number;
  readonly prompt_tokens: number;
  readonly cached_tokens: number;
  readonly completion_tokens: number;
  readonly energy_uj: number;
  readonly below_uj: number;
  readonly above_uj: number;
  readonly cost_price: number;
  readonly cost_energy: number;
  readonly cost_hardware: number;
  readonly queue_us: number;
  readonly prefill_us: number;
  readonly decode_us: number;
  readonly corrects: number | null;
  readonly digest: Uint8Array;
  readonly hash: Uint8Array;
  /** As the sums have it; the same as `kind`. */
  readonly shared_line: string;
  readonly zone: Zone;
  readonly backend: string;
  readonly model: string;
  readonly class: DataClass;
  readonly team: string | null;
  readonly key: string | null;
  readonly agent: string | null;
  readonly tier: EnergyTier;
  readonly priced: string;
  readonly person: string | null;
}

/** Rows of `lines`: one statement a question. */
export class LineReader {
  readonly #ofRequest: StatementSync;
  readonly #byTime: StatementSync;
  readonly #bySeq: StatementSync;

  constructor(db: DatabaseSync) {
    this.#ofRequest = db.prepare(`${SELECT} WHERE request = ? ORDER BY seq LIMIT ?`);
    this.#byTime = db.prepare(
      `${SELECT} WHERE (at, seq) > (?, ?) AND at >= ? AND at < ? ORDER BY at, seq LIMIT ?`,
    );
    this.#bySeq = db.prepare(`${SELECT} WHERE seq > ? ORDER BY seq LIMIT ?`);
  }

  ofRequest = (packed: string | Uint8Array, limit: number): readonly LineRow[] =>
    rowsOf(this.#ofRequest, packed, limit);

  /** Those in [from, to) after the place (at, seq), by time and number. */
  byTime(from: number, to: number, after: { at: number; seq: number }, limit: number): readonly LineRow[] {
    return rowsOf(this.#byTime, after.at, after.seq, from, to, limit);
  }

  bySeq = (after: number, limit: number): readonly LineRow[] => rowsOf(this.#bySeq, after, limit);
}

const rowsOf = (statement: StatementSync, ...values: SQLInputValue[]): readonly LineRow[] =>
  statement.all(...values) as unknown as readonly LineRow[];

/** Throws LedgerError for a row that no entry can have made. */
export function recordedOf(row: LineRow): Recorded {
  const line = LINE_KINDS[row.kind];
  const outcome = OUTCOMES[row.flags & 3];
  if (line === undefined || outcome === undefined || row.shared_line !== line || row.priced === null)
    throw new LedgerError(`line ${row.seq} of the ledger is damaged; \`weir ledger verify\` says more`);
  const entry: LedgerEntry = {
    request: unpackedId(row.request),
    ...{ choice: row.choice, attempt: row.attempt, line, at: row.at },
    ...{ backend: row.backend, zone: row.zone, model: row.model, class: row.class },
    ...{ team: row.team ?? undefined, key: row.key ?? undefined, agent: row.agent ?? undefined },
    ...{ person: row.person ?? undefined, outcome },
    ...{ promptTokens: row.prompt_tokens, cachedTokens: row.cached_tokens },
    ...{ completionTokens: row.completion_tokens, estimated: (row.flags & ESTIMATED_BIT) !== 0 },
    energy: {
      uj: microjoules(row.energy_uj),
      lowUj: microjoules(row.energy_uj - row.below_uj),
      highUj: microjoules(row.energy_uj + row.above_uj),
      tier: row.tier,
    },
    cost: {
      price: microUsd(row.cost_price),
      energy: microUsd(row.cost_energy),
      hardware: microUsd(row.cost_hardware),
    },
    priced: row.priced,
    ...{ queueMs: row.queue_us / 1000, prefillMs: row.prefill_us / 1000, decodeMs: row.decode_us / 1000 },
  };
  return {
    seq: row.seq,
    entry,
    corrects: row.corrects ?? undefined,
    counted: (row.flags & COUNTED_BIT) !== 0,
    hash: Buffer.from(row.hash).toString("hex"),
  };
}
