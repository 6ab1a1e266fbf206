/**
 * The coefficients of a lane's steps, learnt from how long they take: recursive least squares with forgetting, so that it
 * follows a machine that becomes slower or faster. Energy of one lane is in proportion to its time, so times are enough.
 */
import type { RowWork, StepCoefficients } from "./attribute.ts";

/** Of an old step's weight, per new step: half of it is gone after some 700. */
const FORGETTING = 0.999;
/** How little is known at first: large against any square of a plausible coefficient. */
const DOUBT = 1e6;
/** Attention is counted in thousands, so that the three unknowns are of like size. */
const ATTENDED_UNIT = 1000;

type Triple = readonly [number, number, number];

export class StepFit {
  #estimate: Triple = [1, 0, 0];
  #doubt: readonly [Triple, Triple, Triple] = [
    [DOUBT, 0, 0],
    [0, DOUBT, 0],
    [0, 0, DOUBT],
  ];

  /** `ms`: what a step of these rows took. */
  observe(rows: readonly RowWork[], ms: number): void {
    if (rows.length === 0 || !(ms > 0) || !Number.isFinite(ms)) return;
    const x: Triple = [
      1,
      rows.reduce((sum, { tokens }) => sum + tokens, 0),
      rows.reduce((sum, { attended }) => sum + attended, 0) / ATTENDED_UNIT,
    ];
    const px = this.#doubt.map((row) => dot(row, x)) as unknown as Triple;
    const scale = FORGETTING + dot(x, px);
    const error = ms - dot(this.#estimate, x);
    this.#estimate = this.#estimate.map(
      (value, i) => value + ((px[i] as number) / scale) * error,
    ) as unknown as Triple;
    this.#doubt = this.#doubt.map((row, i) =>
      row.map((value, j) =>
        Math.min(DOUBT, (value - ((px[i] as number) * (px[j] as number)) / scale) / FORGETTING),
      ),
    ) as unknown as readonly [Triple, Triple, Triple];
  }

  /** Never negative: noise may say so of a small one. Where nothing is known a step is shared equally. */
  get coefficients(): StepCoefficients {
    const [perStep, perToken, perAttended] = this.#estimate.map((value) =>
      Math.max(0, value),
    ) as unknown as Triple;
    if (perStep + perToken + perAttended === 0) return { perStep: 1, perToken: 0, perAttended: 0 };
    return { perStep, perToken, perAttended: perAttended / ATTENDED_UNIT };
  }
}

const dot = (a: Triple, b: Triple): number => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
