/** What a test tells the cloud double to do, and what the double tells of what it saw. Plain data, sent between processes. */

export interface DoubleToolCall {
  readonly id: string;
  readonly name: string;
  /** JSON; the parts come one event each. */
  readonly arguments: readonly string[];
}

export interface DoubleAnswer {
  readonly kind: "answer";
  /** One event each. */
  readonly texts?: readonly string[];
  readonly toolCalls?: readonly DoubleToolCall[];
  /** The vendor's own word; its usual one where absent. */
  readonly finish?: string;
  /** Sent as they are in the vendor's place for usage; honest counts where absent, no usage at all where null. */
  readonly usage?: Readonly<Record<string, unknown>> | null;
  /** Bytes of each write, so that events and characters come apart; `event`: one event each. All at once where absent. */
  readonly splitBytes?: number | "event";
  /** Pause before each write, in ms. */
  readonly pauseMs?: number;
  /** After so many events the connection is cut, or nothing more comes, or the body ends as if all were well. */
  readonly after?: { readonly events: number; readonly fate: "cut" | "stall" | "end" | "error" };
}

/** One is used up by each request; with none left the double answers "ok". */
export type DoubleTurn =
  | DoubleAnswer
  | {
      readonly kind: "status";
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
    }
  | { readonly kind: "raw"; readonly body: string; readonly contentType?: string }
  /** Takes the request and never answers. */
  | { readonly kind: "silence" };

export interface DoubleSeen {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface DoubleRecord {
  readonly requests: readonly DoubleSeen[];
  readonly connections: number;
  /** Received on all connections, TLS and CONNECT included. */
  readonly bytes: number;
  /** Answers whose connection was closed before they were complete. */
  readonly left: number;
  /** Hosts that were asked for by CONNECT. */
  readonly tunnels: readonly string[];
}

export type DoubleCommand =
  | { readonly id: number; readonly kind: "script"; readonly turns: readonly DoubleTurn[] }
  | { readonly id: number; readonly kind: "record" }
  | { readonly id: number; readonly kind: "reset" };
