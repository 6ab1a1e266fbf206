/** What the `cloud-stream` bench and the process with its client tell each other, and how the client reads a stream. */

/** From the client to the cloud, without weir or through it. */
export type Way = "direct" | "public" | "pseudonymised";

export interface StreamAsk {
  readonly way: Way;
  readonly port: number;
  /** JSON, to /v1/chat/completions. */
  readonly body: string;
  /** All of the answer's text. */
  readonly answer: string;
  /** The answer's `x-weir-class`; undefined where weir is not asked. */
  readonly dataClass: string | undefined;
}

/** One after the other. */
export interface StreamTask {
  readonly asks: readonly StreamAsk[];
}

export type StreamReport =
  | {
      readonly kind: "done";
      /** From sending each request to the first text of its answer. */
      readonly firstContentMs: readonly number[];
      /** Processor time that the client took. */
      readonly clientSeconds: number;
    }
  | { readonly kind: "failed"; readonly message: string };

/** The text of a streamed chat, from the parts in which it comes. */
export class ContentReader {
  text = "";
  done = false;
  #rest = "";

  /** True where the part brought text. */
  feed(part: string): boolean {
    const events = (this.#rest + part).split("\n\n");
    this.#rest = events.pop() as string;
    const before = this.text.length;
    for (const event of events) this.#read(event);
    return this.text.length > before;
  }

  #read(event: string): void {
    if (!event.startsWith("data: ")) return;
    const data = event.slice("data: ".length);
    if (data === "[DONE]") {
      this.done = true;
      return;
    }
    const { choices = [] } = JSON.parse(data) as {
      readonly choices?: readonly { readonly delta?: { readonly content?: string | null } }[];
    };
    this.text += choices[0]?.delta?.content ?? "";
  }
}
