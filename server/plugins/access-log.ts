/** One log line and one measurement an answer: the route's pattern, never the URL, a header or a body. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Clock } from "../../engine/core/clock.ts";
import { ERRORS } from "../../engine/core/errors.ts";
import type { GatewayMetrics } from "../ports.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Of the clock's monotonic time, in ms. */
    arrivedAt: number;
  }
}

/** Asked by machines, every few seconds, and by browsers unasked. */
const QUIET_ROUTES: ReadonlySet<string> = new Set(["/health", "/metrics", "/favicon.ico"]);

export function logAnswers(app: FastifyInstance, clock: Clock, metrics: GatewayMetrics): void {
  app.decorateRequest("arrivedAt", 0);
  app.addHook("onRequest", (request, reply, done) => {
    request.arrivedAt = clock.now();
    // Not Fastify's onResponse: that one is silent about clients that leave before the end.
    reply.raw.once("close", () => record(request, reply, clock.now() - request.arrivedAt, metrics));
    done();
  });
}

function record(
  request: FastifyRequest,
  reply: FastifyReply,
  elapsedMs: number,
  metrics: GatewayMetrics,
): void {
  const route = request.routeOptions.url ?? "unknown";
  const complete = reply.raw.writableFinished;
  const status = complete ? reply.raw.statusCode : ERRORS.cancelled.status;
  metrics.answered({ route, method: request.is404 ? "any" : request.method, status, elapsedMs });
  const facts = {
    route,
    method: request.method,
    status,
    ms: Math.round(elapsedMs),
    key: request.keyName ?? undefined,
  };
  if (QUIET_ROUTES.has(route)) request.log.debug(facts, "answered");
  else request.log.info(facts, complete ? "answered" : "the client left");
}
