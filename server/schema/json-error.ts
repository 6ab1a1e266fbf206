/** Finds where a text stops being JSON; V8's own message quotes the text and often leaves the place out. */

const SPACE = /[ \t\n\r]*/y;
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;

/** Index of the first character that cannot be there; `text.length` where the text ends too early. */
export function jsonErrorAt(text: string): number {
  const cursor = new Cursor(text);
  /** Open brackets: a list rather than recursion, since the text may be nested very deep. */
  const open: string[] = [];
  for (;;) {
    const next = cursor.peek();
    if (next === "[" || next === "{") {
      cursor.at += 1;
      const close = next === "[" ? "]" : "}";
      if (cursor.peek() !== close) {
        open.push(close);
        if (next === "{" && !cursor.key()) return cursor.at;
        continue;
      }
      cursor.at += 1;
    } else if (!(next === '"' ? cursor.string() : cursor.take(SCALAR))) {
      return cursor.at;
    }
    while (open.length > 0 && cursor.peek() === open.at(-1)) {
      open.pop();
      cursor.at += 1;
    }
    if (cursor.peek() !== "," || open.length === 0) return cursor.at;
    cursor.at += 1;
    if (open.at(-1) === "}" && !cursor.key()) return cursor.at;
  }
}

class Cursor {
  at = 0;
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  take(pattern: RegExp): boolean {
    pattern.lastIndex = this.at;
    const found = pattern.test(this.#text);
    if (found) this.at = pattern.lastIndex;
    return found;
  }

  /** The next character that is not a space. */
  peek(): string | undefined {
    this.take(SPACE);
    return this.#text[this.at];
  }

  /** A key and its colon. */
  key(): boolean {
    if (this.peek() !== '"' || !this.string() || this.peek() !== ":") return false;
    this.at += 1;
    return true;
  }

  /** A string, from its opening quote; stops at the character that is wrong. */
  string(): boolean {
    for (this.at += 1; this.at < this.#text.length; ) {
      const code = this.#text.charCodeAt(this.at);
      if (code < 0x20) return false;
      if (code === 0x5c) {
        if (!this.take(ESCAPE)) return false;
        continue;
      }
      this.at += 1;
      if (code === 0x22) return true;
    }
    return false;
  }
}
