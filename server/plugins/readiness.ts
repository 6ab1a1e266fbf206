/** No new work before the server is ready or after it began to drain; running answers are left alone. */
import type { FastifyInstance, onRequestHookHandler } from "fastify";
import { WeirError } from "../../engine/core/errors.ts";
import type { Readiness } from "../ports.ts";

const RETRY_AFTER_MS = 1000;

export function notReady(state: Exclude<Readiness, { kind: "ready" }>): WeirError {
  const retryAfterMs = state.retryAfterMs ?? RETRY_AFTER_MS;
  const why = state.reason === undefined ? "" : ` (${state.reason})`;
  return state.kind === "starting"
    ? new WeirError("not_ready", `The server is starting${why}; try again in a moment.`, { retryAfterMs })
    : new WeirError(
        "draining",
        `The server is shutting down${why} and takes no new requests; try another one.`,
        {
          retryAfterMs,
        },
      );
}

/** For the routes that make work. */
export const onlyWhenReady =
  (readiness: () => Readiness): onRequestHookHandler =>
  (_request, _reply, done) => {
    const state = readiness();
    done(state.kind === "ready" ? undefined : notReady(state));
  };

/** While draining, every answer is its connection's last: kept-alive connections would hold up the exit. */
export function closeConnectionsOnDrain(app: FastifyInstance, readiness: () => Readiness): void {
  app.addHook("onSend", (_request, reply, _payload, done) => {
    if (readiness().kind === "draining") reply.header("connection", "close");
    done();
  });
  app.addHook("onResponse", (request, _reply, done) => {
    if (readiness().kind === "draining") request.raw.socket.end();
    done();
  });
}
