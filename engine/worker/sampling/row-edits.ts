/** Changes to single logits of a row that are taken back afterwards, so that sampling leaves the row as it was. */

/** Logits stay finite under extreme penalties: an overflow caused by one request must not look like a damaged model. */
const LOGIT_MAX = 3.4028234663852886e38;

/** A stack of (index, old value); scratch of one thread, empty between two calls. */
export class RowEdits {
  #indices = new Int32Array(256);
  #olds = new Float32Array(256);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Rounds to float32 as the row does. -Infinity bans the token. */
  set(row: Float32Array, index: number, logit: number): void {
    if (this.#size === this.#indices.length) this.#grow();
    const old = row[index] as number;
    this.#indices[this.#size] = index;
    this.#olds[this.#size] = old;
    this.#size += 1;
    row[index] =
      Number.isFinite(old) && logit !== -Infinity ? Math.max(-LOGIT_MAX, Math.min(LOGIT_MAX, logit)) : logit;
  }

  /** Takes back the latest edits until `size` are left, newest first: an index may have been edited twice. */
  undoTo(row: Float32Array, size: number): void {
    while (this.#size > size) {
      this.#size -= 1;
      row[this.#indices[this.#size] as number] = this.#olds[this.#size] as number;
    }
  }

  #grow(): void {
    const indices = new Int32Array(this.#indices.length * 2);
    indices.set(this.#indices);
    this.#indices = indices;
    const olds = new Float32Array(this.#olds.length * 2);
    olds.set(this.#olds);
    this.#olds = olds;
  }
}
