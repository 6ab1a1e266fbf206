/**
 * One stream of server-sent events over one HTTP answer. What is sent in one turn of the event loop leaves in one write;
 * a slow reader makes `room()` wait, and one that reads nothing at all is cut off.
 */
import type { OutgoingHttpHeaders, ServerResponse } from "node:http";

/** Unsent text in characters after which a turn does not wait for its end. */
const PENDING_MAX = 32_768;
const KEEP_ALIVE = ": keep-alive\n\n";

export interface EventStreamOptions {
  /** A silent stream carries a comment this often, in ms. */
  readonly keepAliveMs: number;
  /** A reader that takes nothing for so long while data waits loses its connection, in ms. */
  readonly stalledMs: number;
}

export class EventStream {
  readonly #raw: ServerResponse;
  readonly #options: EventStreamOptions;
  readonly #keepAlive: NodeJS.Timeout;
  #pending = "";
  #flushPlanned = false;
  #quiet = true;
  #blocked: Promise<void> | undefined;

  constructor(raw: ServerResponse, headers: OutgoingHttpHeaders, options: EventStreamOptions) {
    this.#raw = raw;
    this.#options = options;
    raw.writeHead(200, {
      ...headers,
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-cache, no-transform",
      "x-accel-buffering": "no",
    });
    raw.flushHeaders();
    // A write that loses the race against the client's leaving is no news: `close` tells.
    raw.on("error", () => undefined);
    this.#keepAlive = setInterval(() => this.#tick(), options.keepAliveMs);
    raw.once("close", () => clearInterval(this.#keepAlive));
  }

  /** `text` is one or more whole events, each with its empty line. */
  send(text: string): void {
    this.#pending += text;
    if (this.#flushPlanned || this.#blocked !== undefined) return;
    this.#flushPlanned = true;
    setImmediate(() => this.#flush());
  }

  /** Undefined while there is room; otherwise settles when the reader has caught up or is gone. */
  room(): Promise<void> | undefined {
    if (this.#pending.length >= PENDING_MAX && this.#blocked === undefined) this.#flush();
    return this.#blocked;
  }

  /** Sends what is left, and ends the answer. */
  end(text: string): void {
    this.#pending += text;
    clearInterval(this.#keepAlive);
    if (this.#raw.destroyed) return;
    this.#raw.end(this.#pending);
    this.#pending = "";
    if (this.#raw.writableNeedDrain) void this.#watchStall("finish");
  }

  #flush(): void {
    this.#flushPlanned = false;
    if (this.#pending === "" || this.#raw.destroyed || this.#raw.writableEnded) return;
    const text = this.#pending;
    this.#pending = "";
    this.#quiet = false;
    if (!this.#raw.write(text)) this.#blocked = this.#watchStall("drain");
  }

  #watchStall(until: "drain" | "finish"): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#raw.destroy(), this.#options.stalledMs);
      const done = () => {
        clearTimeout(timer);
        this.#raw.off(until, done);
        this.#raw.off("close", done);
        this.#blocked = undefined;
        this.#flush();
        resolve();
      };
      this.#raw.once(until, done);
      this.#raw.once("close", done);
    });
  }

  #tick(): void {
    const idle = this.#quiet && this.#blocked === undefined && this.#pending === "";
    if (idle && !this.#raw.destroyed) this.#raw.write(KEEP_ALIVE);
    this.#quiet = true;
  }
}
