/** Text that must not show in logs, errors or `config show`: only `reveal` gives it away. */
import { inspect } from "node:util";

export class Secret {
  readonly #text: string;
  constructor(text: string) {
    this.#text = text;
  }
  reveal(): string {
    return this.#text;
  }
  toString(): string {
    return "(secret)";
  }
  toJSON(): string {
    return "(secret)";
  }
  [inspect.custom](): string {
    return "(secret)";
  }
}
