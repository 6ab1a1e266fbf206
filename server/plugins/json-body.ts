/** Bodies are JSON; what is wrong with one is said by its place, never by quoting it. */
import type { FastifyInstance } from "fastify";
import { WeirError } from "../../engine/core/errors.ts";
import { jsonErrorAt } from "../schema/json-error.ts";

export function readJsonBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", { parseAs: "string" }, (_request, body, done) => {
    const text = body as string;
    try {
      done(null, JSON.parse(text));
    } catch {
      done(malformed(text));
    }
  });
}

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
