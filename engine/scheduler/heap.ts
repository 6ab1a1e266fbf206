/** A binary heap from which an item can also be taken out of the middle. Every change costs O(log n). */
export class Heap<Item> {
  readonly #before: (a: Item, b: Item) => boolean;
  readonly #items: Item[] = [];
  readonly #places = new Map<Item, number>();

  /** `before` must be a strict total order that does not change while items are inside. */
  constructor(before: (a: Item, b: Item) => boolean) {
    this.#before = before;
  }

  get size(): number {
    return this.#items.length;
  }

  peek(): Item | undefined {
    return this.#items[0];
  }

  /** In no particular order. */
  values(): readonly Item[] {
    return this.#items;
  }

  push(item: Item): void {
    this.#items.push(item);
    this.#rise(this.#items.length - 1, item);
  }

  pop(): Item | undefined {
    const first = this.#items[0];
    if (first !== undefined) this.remove(first);
    return first;
  }

  /** False if it is not inside. */
  remove(item: Item): boolean {
    const place = this.#places.get(item);
    if (place === undefined) return false;
    this.#places.delete(item);
    const last = this.#items.pop() as Item;
    if (place < this.#items.length) this.#sink(this.#rise(place, last), last);
    return true;
  }

  #rise(from: number, item: Item): number {
    let place = from;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = this.#items[above] as Item;
      if (!this.#before(item, parent)) break;
      this.#put(place, parent);
      place = above;
    }
    this.#put(place, item);
    return place;
  }

  #sink(from: number, item: Item): void {
    let place = from;
    for (let below = 2 * place + 1; below < this.#items.length; below = 2 * place + 1) {
      const right = below + 1;
      const useRight =
        right < this.#items.length && this.#before(this.#items[right] as Item, this.#items[below] as Item);
      const child = useRight ? right : below;
      if (!this.#before(this.#items[child] as Item, item)) break;
      this.#put(place, this.#items[child] as Item);
      place = child;
    }
    this.#put(place, item);
  }

  #put(place: number, item: Item): void {
    this.#items[place] = item;
    this.#places.set(item, place);
  }
}
