/** What each vendor's file offers: a request in its shape, and its stream as pieces of an answer. Pure; no I/O. */
import type { ErrorCode } from "../../core/errors.ts";
import type { FinishReason } from "../../core/generator.ts";
import type { GenerationRequest } from "../../core/request.ts";
import type { SseEvent } from "../sse-reader.ts";

export interface VendorRequest {
  /** Behind the backend's base address; begins with a slash. Holds no text of the request. */
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** What a vendor says of the tokens; nothing of it is believed before it is checked. */
export interface Counts {
  readonly prompt?: unknown;
  readonly cached?: unknown;
  readonly completion?: unknown;
}

/** A failure in the vendor's words, in ours. It never holds the vendor's message: that may quote the request. */
export interface Problem {
  readonly code: ErrorCode;
  /** A word of the vendor's from a fixed list, for the message. */
  readonly word: string;
  readonly retryAfterMs?: number;
}

export type Piece =
  | { readonly kind: "text"; readonly text: string }
  | {
      readonly kind: "tool_call";
      readonly index: number;
      readonly opening: { readonly id: string; readonly name: string } | undefined;
      readonly arguments: string;
    }
  | { readonly kind: "counts"; readonly counts: Counts }
  | { readonly kind: "reason"; readonly reason: FinishReason }
  /** The vendor's last word: the stream may be left. */
  | { readonly kind: "end" }
  | { readonly kind: "problem"; readonly problem: Problem };

/** Reads one answer's events, in order. Throws ShapeError for what is not the vendor's shape. */
export type AnswerReader = (event: SseEvent) => readonly Piece[];

export interface Provider {
  /** Throws `invalid_request`, naming the parameter, for what this vendor cannot be asked. */
  encode(request: GenerationRequest, model: string): VendorRequest;
  headers(secret: string | undefined): Readonly<Record<string, string>>;
  /** One a try. `request` gives ids to calls of a vendor that has none. */
  open(request: GenerationRequest): AnswerReader;
  /** An answer that is no success: its status and the beginning of its body. */
  problem(status: number, body: string): Problem;
}
