/** Every request has an id, the client's own if it is decent, and every answer carries it. */
import type { IncomingMessage } from "node:http";
import type { FastifyInstance } from "fastify";

const HEADER = "x-request-id";
/** Visible ASCII, at most 128 characters. */
const DECENT = /^[\x21-\x7e]{1,128}$/;

export function requestIdOf(raw: Pick<IncomingMessage, "headers">, newRequestId: () => string): string {
  const given = raw.headers[HEADER];
  return typeof given === "string" && DECENT.test(given) ? given : newRequestId();
}

export function sendRequestId(app: FastifyInstance): void {
  app.addHook("onRequest", (request, reply, done) => {
    reply.header(HEADER, request.id);
    done();
  });
}
