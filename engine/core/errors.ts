/**
 * Expected failures: each has a code, and this one table knows the HTTP status, OpenAI's error type and whether a client
 * may try again. Bugs use assert instead and crash.
 */
export interface ErrorKind {
  /** HTTP status of the answer. */
  readonly status: number;
  /** `error.type` of OpenAI's error body. */
  readonly type:
    | "invalid_request_error"
    | "authentication_error"
    | "permission_error"
    | "rate_limit_error"
    | "server_error";
  /** True where the same request may succeed later: sent as `x-should-retry`. */
  readonly retryable: boolean;
}

export const ERRORS = {
  invalid_request: { status: 400, type: "invalid_request_error", retryable: false },
  context_length_exceeded: { status: 400, type: "invalid_request_error", retryable: false },
  invalid_api_key: { status: 401, type: "authentication_error", retryable: false },
  forbidden: { status: 403, type: "permission_error", retryable: false },
  /** A door to the outside stayed shut: what was to be sent is not proven public, or the address is not allowed. */
  egress_refused: { status: 403, type: "permission_error", retryable: false },
  /** The data may not go where the client wants them to. */
  private_data: { status: 403, type: "permission_error", retryable: false },
  /** The key, or the agent, may not use this model. */
  model_not_allowed: { status: 403, type: "permission_error", retryable: false },
  not_found: { status: 404, type: "invalid_request_error", retryable: false },
  model_not_found: { status: 404, type: "invalid_request_error", retryable: false },
  method_not_allowed: { status: 405, type: "invalid_request_error", retryable: false },
  request_timeout: { status: 408, type: "server_error", retryable: true },
  body_too_large: { status: 413, type: "invalid_request_error", retryable: false },
  unsupported_media_type: { status: 415, type: "invalid_request_error", retryable: false },
  /** The key has used up what it may in this time. */
  rate_limited: { status: 429, type: "rate_limit_error", retryable: true },
  overloaded: { status: 429, type: "rate_limit_error", retryable: true },
  cancelled: { status: 499, type: "server_error", retryable: false },
  internal: { status: 500, type: "server_error", retryable: true },
  backend_failed: { status: 502, type: "server_error", retryable: true },
  /** It will say no again: a wrong secret, no credit, an account without rights. */
  backend_refused: { status: 502, type: "server_error", retryable: false },
  /** Not asked at all, because its last answers failed. */
  backend_unavailable: { status: 503, type: "server_error", retryable: true },
  /** What may serve this class of data is down, and no other zone is asked. */
  onprem_unavailable: { status: 503, type: "server_error", retryable: true },
  cloud_unavailable: { status: 503, type: "server_error", retryable: true },
  model_load_failed: { status: 503, type: "server_error", retryable: false },
  draining: { status: 503, type: "server_error", retryable: true },
  not_ready: { status: 503, type: "server_error", retryable: true },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERRORS;

export interface WeirErrorDetails {
  /** The request parameter that is at fault, as the client wrote it: `messages.0.content`. */
  readonly param?: string;
  /** How long a client should wait before it tries again, in ms. */
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

/** The message says what happened, why, and what to do next; it never holds text of a request or a secret. */
export class WeirError extends Error {
  override readonly name = "WeirError";
  readonly code: ErrorCode;
  readonly param: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, details: WeirErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.param = details.param;
    this.retryAfterMs = details.retryAfterMs;
  }
}

/** Anything thrown, as a WeirError: what is not one already is `internal`, and its own message stays inside as cause. */
export function asWeirError(error: unknown): WeirError {
  if (error instanceof WeirError) return error;
  return new WeirError("internal", "The server failed on this request; its log has the cause.", {
    cause: error,
  });
}
