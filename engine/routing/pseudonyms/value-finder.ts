/** Finds every place where one of many values stands, in time that grows with the text and not with the number of values. */
import type { Span } from "../recognisers/recogniser.ts";

interface Node {
  readonly next: Map<number, Node>;
  readonly depth: number;
  /** The node of this path's longest proper suffix that is on a path too. */
  fail: Node | undefined;
  /** Length of the longest value that ends here; 0 = none does. */
  match: number;
}

/** Aho and Corasick's automaton (1975) over UTF-16 units. */
export class ValueFinder {
  readonly #root: Node = { next: new Map(), depth: 0, fail: undefined, match: 0 };
  /** Most characters begin no value, and are passed at once. */
  readonly #firsts = new Uint8Array(0x10000);

  /** Values are not empty. */
  constructor(values: Iterable<string>) {
    for (const value of values) this.#add(value);
    const queue = [this.#root];
    for (const node of queue) {
      for (const [unit, next] of node.next) {
        next.fail = node === this.#root ? this.#root : this.#step(node.fail as Node, unit);
        next.match ||= next.fail.match;
        queue.push(next);
      }
    }
  }

  /** Apart from each other, in order: where some overlap the first one, and of those the longest. */
  *find(text: string): Generator<Span> {
    let node = this.#root;
    let found: Span | undefined;
    for (let index = 0; index <= text.length; index += 1) {
      // Decided as soon as nothing is under way that began there or before.
      if (found !== undefined && (index === text.length || index - node.depth > found.start)) {
        yield found;
        node = this.#root;
        index = found.end;
        found = undefined;
      }
      if (node === this.#root) while (this.#firsts[text.charCodeAt(index)] === 0) index += 1;
      if (index >= text.length) return;
      node = this.#step(node, text.charCodeAt(index));
      if (node.match === 0) continue;
      const start = index + 1 - node.match;
      if (found === undefined || start <= found.start) found = { start, end: index + 1 };
    }
  }

  #add(value: string): void {
    let node = this.#root;
    this.#firsts[value.charCodeAt(0)] = 1;
    for (let index = 0; index < value.length; index += 1) {
      const unit = value.charCodeAt(index);
      let next = node.next.get(unit);
      if (next === undefined) {
        next = { next: new Map(), depth: index + 1, fail: undefined, match: 0 };
        node.next.set(unit, next);
      }
      node = next;
    }
    node.match = value.length;
  }

  #step(from: Node, unit: number): Node {
    for (let node: Node | undefined = from; node !== undefined; node = node.fail) {
      const next = node.next.get(unit);
      if (next !== undefined) return next;
    }
    return this.#root;
  }
}
