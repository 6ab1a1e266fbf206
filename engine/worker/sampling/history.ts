/** Which tokens a sequence has had, and how often its answer had them: what the three penalties read. */
import type { TokenId } from "../../core/brand.ts";

/** Distinct tokens in order of first appearance, so that a step costs time in proportion to them, not to the vocabulary. */
export class TokenHistory {
  #ids = new Int32Array(64);
  #answerCounts = new Int32Array(64);
  #size = 0;
  readonly #places = new Map<TokenId, number>();

  get size(): number {
    return this.#size;
  }

  idAt(place: number): number {
    return this.#ids[place] as number;
  }

  /** 0 for a token that only the prompt had. */
  answerCountAt(place: number): number {
    return this.#answerCounts[place] as number;
  }

  addPrompt(token: TokenId): void {
    this.#placeOf(token);
  }

  addAnswer(token: TokenId): void {
    const place = this.#placeOf(token);
    this.#answerCounts[place] = (this.#answerCounts[place] as number) + 1;
  }

  #placeOf(token: TokenId): number {
    const known = this.#places.get(token);
    if (known !== undefined) return known;
    const place = this.#size;
    if (place === this.#ids.length) {
      this.#ids = doubled(this.#ids);
      this.#answerCounts = doubled(this.#answerCounts);
    }
    this.#ids[place] = token;
    this.#size = place + 1;
    this.#places.set(token, place);
    return place;
  }
}

function doubled(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(array.length * 2);
  larger.set(array);
  return larger;
}
