/** /docs: the API as OpenAPI, made from the schemas that check the requests; its page needs nothing from outside. */
import swagger from "@fastify/swagger";
import swaggerUi from "@fastify/swagger-ui";
import type { FastifyInstance, FastifySchema } from "fastify";
import { jsonSchemaTransform } from "fastify-type-provider-zod";
import type { Access } from "../ports.ts";

/**
 * Scripts and styles of this server alone. Not `upgrade-insecure-requests`, which the package's own policy has: over plain
 * HTTP from another machine a browser would ask for the page's parts over HTTPS, and show nothing.
 */
const CONTENT_SECURITY = [
  "default-src 'self'",
  "base-uri 'self'",
  "font-src 'self' data:",
  "form-action 'self'",
  "frame-ancestors 'self'",
  "img-src 'self' data:",
  "object-src 'none'",
  "script-src-attr 'none'",
].join("; ");

export async function serveDocs(
  app: FastifyInstance,
  options: { readonly version: string; readonly access: Access },
) {
  const keyed = options.access.kind === "keys";
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "weir",
        version: options.version,
        description:
          "Language models behind the OpenAI API. Fields beyond OpenAI's are named in each description.",
      },
      tags: [
        { name: "openai", description: "What OpenAI's clients call" },
        { name: "tokens", description: "Tokenizers" },
        { name: "operations", description: "For operators and their machines" },
      ],
      ...(keyed
        ? {
            components: { securitySchemes: { key: { type: "http", scheme: "bearer" } } },
            security: [{ key: [] }],
          }
        : {}),
    },
    transform: (route) => nameWildcard(jsonSchemaTransform(route)),
  });
  await app.register(swaggerUi, {
    routePrefix: "/docs",
    staticCSP: CONTENT_SECURITY,
    logLevel: "warn",
    uiConfig: { docExpansion: "list", validatorUrl: null },
  });
}

/** Ids with slashes need a wildcard in the router; readers of the docs see a parameter with a name. */
function nameWildcard<Route extends { schema: FastifySchema; url: string }>(route: Route): Route {
  if (!route.url.endsWith("/*")) return route;
  const params = route.schema.params as { properties?: Record<string, unknown> } | undefined;
  const model = params?.properties?.["*"];
  const named = { ...params, properties: { model }, required: ["model"] };
  return { ...route, url: route.url.replace("*", ":model"), schema: { ...route.schema, params: named } };
}
