/**
 * Cache slots as numbers. A decode run computes slots 0 .. n - 1, so the n running rows must stand exactly there; the
 * sequence whose prompt is being computed stands anywhere behind them.
 *
 * Rows only ever join through the prefilling sequence, so while it is prefilling n can only shrink: its slot
 * is never in the way of the rows, and it needs to move at most once, when it joins. Packing n rows forces
 * exactly the rows in slots >= n to move, whatever the order; so moving each of those once, straight into a
 * hole, copies the fewest tokens possible, needs no spare slot, and no move of a step touches a slot that
 * another one reads.
 */
import type { SequenceId, Slot } from "../core/brand.ts";
import { slot } from "../core/brand.ts";
import type { SlotMove } from "../core/step.ts";

export interface Placed {
  readonly id: SequenceId;
  readonly slot: Slot;
  /** Positions of the slot that hold its keys and values. */
  readonly computed: number;
}

export interface Packing<Row extends Placed> {
  /** order[i] belongs into slot i. */
  readonly order: readonly Row[];
  readonly moves: readonly SlotMove[];
}

export function packRows<Row extends Placed>(rows: readonly Row[]): Packing<Row> {
  const order = new Array<Row | undefined>(rows.length).fill(undefined);
  const movers: Row[] = [];
  for (const row of rows) {
    if (row.slot < rows.length) order[row.slot] = row;
    else movers.push(row);
  }
  const moves: SlotMove[] = [];
  let hole = 0;
  for (const row of movers) {
    while (order[hole] !== undefined) hole += 1;
    order[hole] = row;
    moves.push({ sequence: row.id, from: row.slot, to: slot(hole), tokens: row.computed });
  }
  return { order: order as Row[], moves };
}
