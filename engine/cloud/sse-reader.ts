/**
 * Server-sent events out of bytes, however those were cut: https://html.spec.whatwg.org/multipage/server-sent-events.html.
 * Each character is looked at once, and what is kept is bounded: a backend cannot fill the memory with one event.
 */

export interface SseEvent {
  /** `message` where the stream names none. */
  readonly type: string;
  readonly data: string;
}

export interface SseBounds {
  /** Of one line, and of one event's data, in UTF-16 units. */
  readonly eventCharactersMax: number;
}

/** Something in a stream is longer than it may be. */
export class SseTooLong extends Error {
  override readonly name = "SseTooLong";
}

const LINE_END = /\r\n|\n|\r/;

export class SseReader {
  readonly #max: number;
  /** Holds a cut character until its rest comes, and leaves out a byte order mark. */
  readonly #decoder = new TextDecoder("utf-8");
  /** The line that has not ended yet. */
  #line: string[] = [];
  #lineLength = 0;
  /** The last piece ended in \r: a \n that comes next belongs to it. */
  #afterReturn = false;
  #type = "";
  #data: string[] = [];
  #dataLength = 0;

  constructor(bounds: SseBounds) {
    this.#max = bounds.eventCharactersMax;
  }

  /** The events that these bytes complete. Throws SseTooLong. */
  push(bytes: Uint8Array): readonly SseEvent[] {
    let text = this.#decoder.decode(bytes, { stream: true });
    if (text === "") return [];
    if (this.#afterReturn && text.startsWith("\n")) text = text.slice(1);
    this.#afterReturn = text === "" ? false : text.endsWith("\r");
    const pieces = text.split(LINE_END);
    const rest = pieces.pop() ?? "";
    const events: SseEvent[] = [];
    for (const piece of pieces) {
      this.#keep(piece);
      const line = this.#line.join("");
      this.#line = [];
      this.#lineLength = 0;
      const event = this.#take(line);
      if (event !== undefined) events.push(event);
    }
    this.#keep(rest);
    return events;
  }

  #keep(piece: string): void {
    if (piece === "") return;
    this.#lineLength += piece.length;
    if (this.#lineLength > this.#max) throw new SseTooLong(`a line of more than ${this.#max} characters`);
    this.#line.push(piece);
  }

  #take(line: string): SseEvent | undefined {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return undefined; // a comment
    const name = colon < 0 ? line : line.slice(0, colon);
    const rest = colon < 0 ? "" : line.slice(colon + 1);
    const value = rest.startsWith(" ") ? rest.slice(1) : rest;
    if (name === "event") this.#type = value;
    if (name === "data") {
      this.#dataLength += value.length + 1;
      if (this.#dataLength > this.#max + 1)
        throw new SseTooLong(`an event of more than ${this.#max} characters`);
      this.#data.push(value);
    }
    return undefined;
  }

  /** An event without data is none, by the standard. */
  #dispatch(): SseEvent | undefined {
    const [type, data] = [this.#type, this.#data];
    this.#type = "";
    this.#data = [];
    this.#dataLength = 0;
    return data.length === 0 ? undefined : { type: type === "" ? "message" : type, data: data.join("\n") };
  }
}
