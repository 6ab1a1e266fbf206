/** A known path with the wrong method is 405 and says which methods it has, not 404. */
import type { FastifyInstance, HTTPMethods } from "fastify";
import { WeirError } from "../../engine/core/errors.ts";

const METHODS: readonly HTTPMethods[] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/** Call first; `refuse()` once all routes of ours are there. */
export function watchMethods(app: FastifyInstance): { refuse(): void } {
  const known = new Map<string, Set<HTTPMethods>>();
  let watching = true;
  app.addHook("onRoute", (route) => {
    if (!watching) return;
    const methods = known.get(route.url) ?? new Set();
    for (const method of [route.method].flat()) methods.add(method as HTTPMethods);
    known.set(route.url, methods);
  });
  return {
    refuse() {
      watching = false;
      for (const [url, methods] of known) refuseOthers(app, url, methods);
    },
  };
}

function refuseOthers(app: FastifyInstance, url: string, methods: ReadonlySet<HTTPMethods>): void {
  const allow = [...methods].join(", ");
  app.route({
    url,
    method: METHODS.filter((method) => !methods.has(method)),
    schema: { hide: true },
    // Before the body is read: its type and length do not matter here.
    onRequest: (request, reply, done) => {
      reply.header("allow", allow);
      done(
        new WeirError(
          "method_not_allowed",
          `${request.method} is not possible here; this path takes ${allow}.`,
        ),
      );
    },
    handler: (_request, reply) => reply.callNotFound(),
  });
}
