/** GET /health and GET /metrics: what operators and their machines ask. */
import type { FastifyInstance } from "fastify";
import { notReady } from "../plugins/readiness.ts";
import type { GatewayMetrics, Readiness } from "../ports.ts";
import { errorResponses, healthResponse } from "../schema/answers.ts";

export function operationRoutes(
  app: FastifyInstance,
  ports: { readonly metrics: GatewayMetrics; readonly readiness: () => Readiness },
): void {
  const health = { summary: "Is the server ready?", tags: ["operations"] };
  app.get("/health", { schema: { ...health, response: { 200: healthResponse, ...errorResponses } } }, () => {
    const state = ports.readiness();
    if (state.kind !== "ready") throw notReady(state);
    return { status: "ok" };
  });
  const metrics = { summary: "Prometheus metrics", tags: ["operations"], produces: ["text/plain"] };
  app.get("/metrics", { schema: metrics }, async (_request, reply) => {
    const text = await ports.metrics.text();
    return reply.header("content-type", ports.metrics.contentType).send(text);
  });
}
