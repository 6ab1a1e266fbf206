/**
 * Finds stop strings in a stream of text and never lets any part of one through.
 *
 * The answer ends at the first character that completes a stop; where it completes several, the one that started first,
 * the longest, is the match. This depends on the text alone, not on how it is cut into pushes. The automaton is Aho and
 * Corasick's (1975), over UTF-16 units: its depth is the length of the longest suffix that may still become a stop,
 * which is what must be held back. Time is linear in the text.
 */

interface Node {
  readonly next: Map<number, Node>;
  /** Length of the prefix of a stop that leads here. */
  readonly depth: number;
  /** The node of this prefix's longest proper suffix that is a prefix of a stop too. */
  fail: Node | undefined;
  /** Length of the longest stop that ends here; 0 = none does. */
  match: number;
}

const newNode = (depth: number): Node => ({ next: new Map(), depth, fail: undefined, match: 0 });

export class StopStrings {
  readonly #root: Node;
  #at: Node;
  /** Seen and not emitted: at least `#at.depth` units. */
  #held = "";
  #stopped = false;

  /** An empty stop string never matches. */
  constructor(stops: readonly string[]) {
    this.#root = automaton(stops);
    this.#at = this.#root;
  }

  /**
   * `emit`: text that no stop can reach any more. After a stop everything is swallowed. `mayEnd` false: a stop that this
   * text completes does not count; one that it begins does.
   */
  push(text: string, mayEnd = true): { readonly emit: string; readonly stopped: boolean } {
    if (this.#stopped) return { emit: "", stopped: true };
    const held = this.#held.length;
    const all = this.#held + text;
    for (let i = held; i < all.length; i += 1) {
      this.#at = step(this.#root, this.#at, all.charCodeAt(i));
      if (this.#at.match === 0) continue;
      if (!mayEnd) {
        this.#at = pastMatch(this.#root, this.#at);
        continue;
      }
      this.#stopped = true;
      this.#held = "";
      return { emit: all.slice(0, wholeUntil(all, i + 1 - this.#at.match)), stopped: true };
    }
    const border = wholeUntil(all, all.length - this.#at.depth);
    this.#held = all.slice(border);
    return { emit: all.slice(0, border), stopped: false };
  }

  /** The text has ended: what was held back did not become a stop. */
  flush(): string {
    const rest = this.#held;
    this.#held = "";
    this.#at = this.#root;
    return rest;
  }
}

function automaton(stops: readonly string[]): Node {
  const root = newNode(0);
  for (const stop of stops) {
    let node = root;
    for (let i = 0; i < stop.length; i += 1) {
      const unit = stop.charCodeAt(i);
      let next = node.next.get(unit);
      if (next === undefined) {
        next = newNode(i + 1);
        node.next.set(unit, next);
      }
      node = next;
    }
    node.match = stop.length;
  }
  const queue: Node[] = [root];
  for (const node of queue) {
    for (const [unit, next] of node.next) {
      next.fail = node === root ? root : step(root, node.fail ?? root, unit);
      if (next.match === 0) next.match = next.fail.match;
      queue.push(next);
    }
  }
  return root;
}

function step(root: Node, from: Node, unit: number): Node {
  let node: Node = from;
  for (;;) {
    const next = node.next.get(unit);
    if (next !== undefined) return next;
    if (node === root) return root;
    node = node.fail ?? root;
  }
}

/** Where a match that does not count leads on: what cannot grow into a longer stop is not held back for it. */
function pastMatch(root: Node, at: Node): Node {
  let node = at;
  while (node !== root && node.next.size === 0) node = node.fail ?? root;
  return node;
}

/** The border itself, or one less where it would leave half of a surrogate pair on its left. */
function wholeUntil(text: string, border: number): number {
  const last = text.charCodeAt(border - 1);
  return border > 0 && last >= 0xd800 && last <= 0xdbff ? border - 1 : border;
}
