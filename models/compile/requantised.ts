/**
 * What became of tensors whose blocks no kernel takes (K-quants): counted by type, and how far their values moved is
 * measured, for the manifest and for what an import says.
 */
import { isKType } from "../formats/ggml-types.ts";
import type { Manifest } from "../manifest.ts";
import type { KType, TensorInfo } from "../source.ts";
import { type Bits, dequantiseRows, type QuantisedRows } from "./quantise.ts";

export type Requantised = NonNullable<Manifest["precision"]["requantised"]>[number];

/** A piece is judged by its first rows, up to this many elements: enough for three digits, and quick. */
const SAMPLE_ELEMENTS = 1 << 16;

interface Tally {
  readonly names: Set<string>;
  readonly weights: "q4" | "q8";
  readonly block: number;
  /** Sums of squares over the samples: of what changed, and of the values themselves. */
  changed: number;
  total: number;
}

export class RequantisedTally {
  readonly #tallies = new Map<KType, Tally>();

  /** `rows`: a piece of the tensor, whole rows of `width`; `quantised`: what is stored of it. Other types are ignored. */
  add(info: TensorInfo, rows: Float32Array, width: number, { bits, block, data, scales }: StoredRows): void {
    if (!isKType(info.type)) return;
    const known = this.#tallies.get(info.type);
    const weights = bits === 4 ? "q4" : "q8";
    const tally = known ?? { names: new Set(), weights, block, changed: 0, total: 0 };
    this.#tallies.set(info.type, tally);
    tally.names.add(info.name);
    const count = Math.min(rows.length / width, Math.max(1, Math.floor(SAMPLE_ELEMENTS / width)));
    const sample = { data, scales: scales.subarray(0, count * Math.ceil(width / block)) };
    for (const [index, stored] of dequantiseRows(sample, width, bits, block).entries()) {
      const value = rows[index] as number;
      tally.changed += (stored - value) ** 2;
      tally.total += value ** 2;
    }
  }

  list(): Requantised[] {
    const byType = [...this.#tallies].sort(([a], [b]) => a.localeCompare(b));
    return byType.map(([type, { names, weights, block, changed, total }]) => ({
      type,
      tensors: names.size,
      weights,
      block: block as Requantised["block"],
      error: total === 0 ? 0 : Number(Math.sqrt(changed / total).toPrecision(3)),
    }));
  }
}

interface StoredRows extends QuantisedRows {
  readonly bits: Bits;
  readonly block: number;
}
