/** `Authorization: Bearer KEY` on everything but /health and the way to /docs. A key never appears in an answer or a log. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { WeirError } from "../../engine/core/errors.ts";
import type { Access, Principal } from "../ports.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Null until the key was checked, and on open routes. */
    principal: Principal | null;
  }
}

const KEY_CHARACTERS_MAX = 512;
/** What they answer says nothing about the server; a browser gets to know from /docs that a key is needed. */
const OPEN_ROUTES: ReadonlySet<string> = new Set(["/health", "/", "/favicon.ico"]);

export function authenticate(app: FastifyInstance, access: Access): void {
  app.decorateRequest("principal", null);
  app.addHook("onRequest", async (request) => {
    if (access.kind === "open") {
      refuseForeignNames(request);
      request.principal = access.principal;
      return;
    }
    if (OPEN_ROUTES.has(request.routeOptions.url ?? "")) return;
    const key = bearer(request);
    const principal = await access.verifier.verify(key);
    if (principal === undefined) {
      throw new WeirError(
        "invalid_api_key",
        "The API key is not known to this server; check it, or ask its operator.",
      );
    }
    request.principal = principal;
  });
}

/**
 * Without keys, a web page anywhere could make its own name point to this machine (DNS rebinding) and ask as the admin.
 * Such a page's name has dots; IP addresses, localhost and the one-word names of a local network do not come from outside.
 */
const LOCAL_NAME = /^(?:\[[\da-f:.]+\]|\d+\.\d+\.\d+\.\d+|[\w-]*|[\w.-]+\.localhost)(?::\d+)?$/i;

function refuseForeignNames(request: FastifyRequest): void {
  if (LOCAL_NAME.test(request.headers.host ?? "")) return;
  throw new WeirError(
    "forbidden",
    "Without API keys this server answers only as localhost or by its IP address. To use another name, give it keys " +
      "(WEIR_API_KEYS_FILE).",
  );
}

function bearer(request: FastifyRequest): string {
  const header = request.headers.authorization;
  if (header === undefined) {
    throw new WeirError(
      "invalid_api_key",
      "This server needs an API key: send 'Authorization: Bearer YOUR_KEY'.",
    );
  }
  const key = /^bearer +(\S+) *$/i.exec(header.slice(0, KEY_CHARACTERS_MAX + 16))?.[1];
  if (key === undefined || key.length > KEY_CHARACTERS_MAX) {
    throw new WeirError("invalid_api_key", "The Authorization header is not of the form 'Bearer YOUR_KEY'.");
  }
  return key;
}
