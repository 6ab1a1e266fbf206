/**
 * How a run is filled up so that each of its rows gives the same bits whatever their number.
 *
 * Some kernels compute a single row in another way than several (f32), others take rows in pairs and the last of an odd
 * number alone (4-bit blocks of 64 or 128, 8-bit blocks of 128), others make no difference (blocks of 32). Which hold
 * depends on the processor, so it is tried out on the model itself; here is what is made of the trial.
 */
import { PAD_MAX } from "../core/limits.ts";

/** A run of `count` rows is filled up to at least `least`, and to a multiple. */
export interface Pad {
  readonly least: number;
  readonly multiple: number;
}

export interface Padding {
  readonly decodeRows: Pad;
  readonly chunkTokens: Pad;
  /** Rows that go through the head. */
  readonly wantedRows: Pad;
}

export const NO_PAD: Pad = { least: 1, multiple: 1 };
const LARGEST: Pad = { least: PAD_MAX, multiple: PAD_MAX };

/** The cheapest first. */
const PADS: readonly Pad[] = [NO_PAD, { least: 2, multiple: 1 }, { least: 2, multiple: 2 }, LARGEST];

export const padAll = (pad: Pad): Padding => ({ decodeRows: pad, chunkTokens: pad, wantedRows: pad });

/** Where nothing can be tried. */
export const LARGEST_PADDING: Padding = padAll(LARGEST);

export const padTo = (count: number, { least, multiple }: Pad): number =>
  Math.max(least, Math.ceil(count / multiple) * multiple);

/** By how many rows were run together: a digest of each row's logits, by its place. */
export type Trial = ReadonlyMap<number, readonly string[]>;

/** The cheapest padding under which every row came out the same from all runs that it allows. */
export function choosePad(trial: Trial): Pad {
  return PADS.find((pad) => agrees(trial, pad)) ?? LARGEST;
}

function agrees(trial: Trial, pad: Pad): boolean {
  const seen: string[] = [];
  for (const [count, rows] of trial) {
    if (padTo(count, pad) !== count) continue;
    for (const [place, row] of rows.entries()) {
      seen[place] ??= row;
      if (seen[place] !== row) return false;
    }
  }
  return true;
}
