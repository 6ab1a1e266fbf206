/** Bodies are JSON; what is wrong with one is said by its place, never by quoting it. */
import type { FastifyInstance } from "fastify";
import { WeirError } from "../../engine/core/errors.ts";
import { jsonErrorAt } from "../schema/json-error.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** The body as the client sent it: what decides about its data looks at this, not at what a schema left of it. */
    received: { readonly body: unknown; readonly bytes: number };
  }
}

export function readJsonBodies(app: FastifyInstance): void {
  app.decorateRequest("received", { getter: () => NOTHING });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", { parseAs: "string" }, (request, body, done) => {
    const text = body as string;
    try {
      const value: unknown = JSON.parse(text);
      Object.defineProperty(request, "received", { value: { body: value, bytes: Buffer.byteLength(text) } });
      done(null, value);
    } catch {
      done(malformed(text));
    }
  });
}

const NOTHING = { body: undefined, bytes: 0 };

function malformed(text: string): WeirError {
  if (text.trim() === "")
    return new WeirError("invalid_request", "The request body is empty; send a JSON object.");
  const at = jsonErrorAt(text);
  const before = text.slice(0, at);
  const line = before.split("\n").length;
  const column = at - before.lastIndexOf("\n");
  const what = at >= text.length ? "it ends too early" : "unexpected character";
  return new WeirError(
    "invalid_request",
    `The request body is not valid JSON: ${what} at line ${line}, column ${column}.`,
  );
}
