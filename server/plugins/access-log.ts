/** One log line and one measurement an answer: the route's pattern, never the URL, a header or a body. */
import type { FastifyInstance } from "fastify";
import type { Clock } from "../../engine/core/clock.ts";
import type { GatewayMetrics } from "../ports.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Of the clock's monotonic time, in ms. */
    arrivedAt: number;
  }
}

export function logAnswers(app: FastifyInstance, clock: Clock, metrics: GatewayMetrics): void {
  app.decorateRequest("arrivedAt", 0);
  app.addHook("onRequest", (request, _reply, done) => {
    request.arrivedAt = clock.now();
    done();
  });
  app.addHook("onResponse", (request, reply, done) => {
    const route = request.routeOptions.url ?? "unknown";
    const { method } = request;
    const status = reply.raw.statusCode;
    const elapsedMs = clock.now() - request.arrivedAt;
    metrics.answered({ route, method: request.is404 ? "any" : method, status, elapsedMs });
    const facts = {
      route,
      method,
      status,
      ms: Math.round(elapsedMs),
      complete: reply.raw.writableFinished,
      key: request.principal?.name,
    };
    if (route === "/health" || route === "/metrics") request.log.debug(facts, "answered");
    else request.log.info(facts, "answered");
    done();
  });
}
