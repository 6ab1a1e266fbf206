/** Whatever goes wrong, the client gets OpenAI's error body, a status from the one table and when to come back. */
import type { Socket } from "node:net";
import type { FastifyBaseLogger, FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { asWeirError, ERRORS, type ErrorCode, WeirError } from "../../engine/core/errors.ts";
import { errorBody, errorHeaders } from "../openai-shape.ts";
import type { GatewayMetrics } from "../ports.ts";

export function sendErrors(app: FastifyInstance, metrics: GatewayMetrics, bodyBytesMax: number): void {
  app.setErrorHandler((thrown: FastifyError, request, reply) => {
    const error = translate(thrown, bodyBytesMax);
    metrics.failed(error);
    if (error.code === "internal") request.log.error({ err: error.cause ?? error }, "a request failed");
    return sendError(reply, error);
  });
  app.setNotFoundHandler((request, reply) => sendError(reply, noSuchPath(request)));
}

function sendError(reply: FastifyReply, error: WeirError): FastifyReply {
  return reply
    .code(ERRORS[error.code].status)
    .headers(errorHeaders(error))
    .type("application/json; charset=utf-8")
    .send(JSON.stringify(errorBody(error)));
}

/** Without its query, which may hold anything, and not longer than is useful. */
function noSuchPath(request: FastifyRequest): WeirError {
  const path = request.url.split("?", 1)[0]?.slice(0, 100);
  return new WeirError(
    "not_found",
    `There is no ${request.method} ${path} here; GET /docs shows what there is.`,
  );
}

/** Fastify's own failures, by their codes. */
function translate(thrown: FastifyError | WeirError, bodyBytesMax: number): WeirError {
  if (thrown instanceof WeirError) return thrown;
  switch (thrown.code) {
    case "FST_ERR_CTP_BODY_TOO_LARGE":
      return new WeirError(
        "body_too_large",
        `The request body is longer than this server takes (${bodyBytesMax} bytes).`,
      );
    case "FST_ERR_CTP_INVALID_MEDIA_TYPE":
    case "FST_ERR_CTP_INVALID_CONTENT_TYPE":
      return new WeirError(
        "unsupported_media_type",
        "Send the body as JSON, with the header 'content-type: application/json'.",
      );
    case "FST_ERR_CTP_INVALID_CONTENT_LENGTH":
      return new WeirError(
        "invalid_request",
        "The request body is not as long as its content-length header says.",
      );
    case "FST_ERR_BAD_URL":
    case "FST_ERR_MAX_PARAM_LENGTH":
      return new WeirError("invalid_request", "The request's path is not a valid URL path.");
    default:
      return asWeirError(thrown);
  }
}

/** Failures below HTTP, before there is a request: a header too long, a broken request line, a client too slow. */
export function clientErrorHandler(ports: {
  readonly newRequestId: () => string;
  readonly logger: FastifyBaseLogger;
}) {
  return (failure: NodeJS.ErrnoException, socket: Socket): void => {
    if (failure.code === "ECONNRESET" || !socket.writable) {
      socket.destroy();
      return;
    }
    const [code, status, message] = rawFailure(failure.code);
    const error = new WeirError(code, message);
    const body = JSON.stringify(errorBody(error));
    const headers = Object.entries({
      "content-type": "application/json; charset=utf-8",
      "content-length": String(Buffer.byteLength(body)),
      "x-request-id": ports.newRequestId(),
      ...errorHeaders(error),
      connection: "close",
    }).map(([name, value]) => `${name}: ${value}\r\n`);
    ports.logger.debug({ code: failure.code }, "a connection sent no valid request");
    socket.end(`HTTP/1.1 ${status}\r\n${headers.join("")}\r\n${body}`);
  };
}

function rawFailure(code: string | undefined): readonly [ErrorCode, string, string] {
  if (code === "HPE_HEADER_OVERFLOW") {
    return ["invalid_request", "431 Request Header Fields Too Large", "The request's headers are too long."];
  }
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") {
    return [
      "request_timeout",
      "408 Request Timeout",
      "The request did not arrive in time; send it again, faster.",
    ];
  }
  return ["invalid_request", "400 Bad Request", "This is not a valid HTTP request."];
}
