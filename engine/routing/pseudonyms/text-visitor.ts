/** What is done with each text of a request. */

export interface TextVisitor {
  /** Gives what shall stand there instead. `label`: the names that lead to it in structured data; "" outside of any. */
  text(text: string, label: string): string;
  /** A name, an id or a number: it cannot be another text. Throws Unreplaceable where it would have to be. */
  fixed(text: string, label: string): void;
}

/** Something stands where nothing can be replaced, or cannot be read. The message holds nothing of the request. */
export class Unreplaceable extends Error {
  override readonly name = "Unreplaceable";
}
