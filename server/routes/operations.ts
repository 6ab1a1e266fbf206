/** GET /health and GET /metrics: what operators and their machines ask. And the way to the docs for those in a browser. */
import type { FastifyInstance } from "fastify";
import { notReady } from "../plugins/readiness.ts";
import type { GatewayMetrics, GatewayOptions, Readiness } from "../ports.ts";
import { errorResponses, healthResponse } from "../schema/answers.ts";

export function operationRoutes(
  app: FastifyInstance,
  ports: { readonly metrics: GatewayMetrics; readonly readiness: () => Readiness },
  { device }: Pick<GatewayOptions, "device">,
): void {
  const health = { summary: "Is the server ready?", tags: ["operations"] };
  app.get("/health", { schema: { ...health, response: { 200: healthResponse, ...errorResponses } } }, () => {
    const state = ports.readiness();
    if (state.kind !== "ready") throw notReady(state);
    return { status: "ok", device };
  });
  const metrics = { summary: "Prometheus metrics", tags: ["operations"], produces: ["text/plain"] };
  app.get("/metrics", { schema: metrics }, async (_request, reply) => {
    const text = await ports.metrics.text();
    return reply.header("content-type", ports.metrics.contentType).send(text);
  });
  const hide = { schema: { hide: true } };
  app.get("/", hide, (_request, reply) => reply.redirect("/docs", 302));
  // Browsers ask for it by themselves.
  app.get("/favicon.ico", hide, (_request, reply) => reply.code(204).send());
}
