/** What can go wrong with a remote backend, as errors that are fit for a client: never the backend's own text. */
import { WeirError, type WeirErrorDetails } from "../core/errors.ts";
import type { Outcome } from "./breaker.ts";
import { ShapeError } from "./providers/parts.ts";
import type { Problem } from "./providers/provider.ts";
import { SseTooLong } from "./sse-reader.ts";

/** `why`: "it fell silent". */
export const failed = (backend: string, why: string, details: WeirErrorDetails = {}): WeirError =>
  new WeirError("backend_failed", `The backend ${backend} failed: ${why}.`, details);

/** `headersAskMs`: what the answer's headers ask to wait. */
export function problemError(backend: string, problem: Problem, headersAskMs?: number): WeirError {
  const wait = problem.retryAfterMs ?? headersAskMs;
  return new WeirError(
    problem.code,
    `The backend ${backend} ${SAYS[problem.code] ?? "says no"} (${problem.word}).`,
    {
      ...(wait === undefined ? {} : { retryAfterMs: wait }),
    },
  );
}

const SAYS: Readonly<Partial<Record<Problem["code"], string>>> = {
  backend_failed: "failed",
  backend_refused: "does not serve this account or model; the operator has to look at its configuration",
  body_too_large: "says that the request is too large",
  context_length_exceeded: "says that the prompt is longer than its model's context",
  invalid_request: "says that the request is at fault",
  overloaded: "has too much to do",
};

/** Anything that a door or a stream throws. What is none of their failures comes back as it is: a bug. */
export function asFailure(backend: string, thrown: unknown): unknown {
  if (thrown instanceof WeirError) return thrown;
  if (thrown instanceof SseTooLong || thrown instanceof ShapeError) {
    return failed(backend, `it sent ${thrown.message}`);
  }
  const code = (thrown as NodeJS.ErrnoException | undefined)?.code;
  if (typeof code !== "string") return thrown;
  if (CERTIFICATE.test(code)) {
    const message = `The backend ${backend} shows a certificate that is not trusted (${code}).`;
    return new WeirError("backend_refused", message, { cause: thrown });
  }
  const why = REASONS[code];
  return why === undefined ? thrown : failed(backend, why, { cause: thrown });
}

const CERTIFICATE = /CERT|SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET_ISSUER)|ALTNAME/;

const REASONS: Readonly<Record<string, string>> = {
  ENOTFOUND: "there is no such host",
  EAI_AGAIN: "its address could not be looked up",
  ECONNREFUSED: "the connection was refused",
  ECONNRESET: "the connection was cut",
  EPIPE: "the connection was cut",
  EHOSTUNREACH: "its host cannot be reached",
  ENETUNREACH: "its network cannot be reached",
  ETIMEDOUT: "it did not answer in time",
  EPROTO: "it does not speak TLS",
  HPE_INVALID_CONSTANT: "it does not speak HTTP",
  UND_ERR_SOCKET: "the connection was cut",
  UND_ERR_CONNECT_TIMEOUT: "it took no connection in time",
  UND_ERR_HEADERS_TIMEOUT: "it did not answer in time",
  UND_ERR_BODY_TIMEOUT: "it fell silent",
  UND_ERR_HEADERS_OVERFLOW: "its headers are too long",
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: "its answer is shorter than it said",
};

/** What the end of a request says of the backend's health. */
export function outcomeOf(error: unknown): Outcome {
  if (!(error instanceof WeirError)) return "neither";
  switch (error.code) {
    case "backend_failed":
    case "request_timeout":
      return "failure";
    case "overloaded":
    case "cancelled":
    case "egress_refused":
    case "internal":
      return "neither";
    // It answered, though with a no.
    default:
      return "success";
  }
}
