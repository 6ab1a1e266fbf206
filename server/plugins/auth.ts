/**
 * Who asks, and may they? `Authorization: Bearer KEY` on everything but /health and the way to /docs, and a key that has the
 * scope of the route. Browsers and Prometheus, which speak Basic, may send the key as its password where there is only
 * something to look at. A key never appears in an answer or a log.
 */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { WeirError } from "../../engine/core/errors.ts";
import type { Access, Principal, Scope } from "../ports.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Null until the key was checked, and on open routes. */
    principal: Principal | null;
    /** Of the key that was checked, for the log; null on open routes, and where there are no keys. */
    keyName: string | null;
  }
}

const KEY_CHARACTERS_MAX = 512;
/** With Basic, a name of any length that a browser sends, and the key. */
const CREDENTIALS_CHARACTERS_MAX = 2048;
/** What they answer says nothing about the server; a browser gets to know from /docs that a key is needed. */
const OPEN_ROUTES: ReadonlySet<string> = new Set(["/health", "/", "/favicon.ico"]);
/** Never /v1: a browser repeats Basic credentials by itself, also where a foreign page makes it ask. */
const TO_LOOK_AT = /^\/(?:metrics$|docs(?:\/|$))/;
const INFERENCE = /^\/(?:v1\/|tokenize$|detokenize$)/;

export function authenticate(app: FastifyInstance, access: Access): void {
  app.decorateRequest("principal", null);
  app.decorateRequest("keyName", null);
  app.addHook("onRequest", async (request) => {
    if (access.kind === "open") {
      refuseForeignNames(request);
      request.principal = access.principal;
      return;
    }
    const route = request.routeOptions.url;
    if (OPEN_ROUTES.has(route ?? "")) return;
    const key = keyOf(request, takesBasic(route));
    const principal = await access.verifier.verify(key);
    if (principal === undefined) {
      throw new WeirError(
        "invalid_api_key",
        "The API key is not known to this server; check it, or ask its operator.",
      );
    }
    request.principal = principal;
    request.keyName = principal.name;
    if (route !== undefined) refuseOthers(principal, scopeOf(route));
  });
  app.addHook("onSend", async (request, reply) => {
    if (reply.statusCode === 401 && takesBasic(request.routeOptions.url))
      reply.header(
        "www-authenticate",
        'Basic realm="weir, with an API key as the password", charset="UTF-8"',
      );
  });
}

/** A route that nobody thought of here is the administrator's. */
export function scopeOf(route: string): Scope {
  if (INFERENCE.test(route)) return "inference";
  return TO_LOOK_AT.test(route) ? "metrics" : "admin";
}

const takesBasic = (route: string | undefined): boolean => route !== undefined && TO_LOOK_AT.test(route);

function refuseOthers({ scopes }: Principal, needed: Scope): void {
  if (scopes.includes(needed) || scopes.includes("admin")) return;
  throw new WeirError(
    "forbidden",
    `This needs an API key with the scope '${needed}'; yours has ${scopes.map((scope) => `'${scope}'`).join(", ")}. ` +
      "Ask the server's operator for another key.",
  );
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
      "(`weir keys create`).",
  );
}

function keyOf({ headers }: FastifyRequest, basic: boolean): string {
  const header = headers.authorization;
  if (header === undefined) {
    throw new WeirError(
      "invalid_api_key",
      "This server needs an API key: send 'Authorization: Bearer YOUR_KEY'.",
    );
  }
  const credentials = header.slice(0, CREDENTIALS_CHARACTERS_MAX);
  const key = /^bearer +(\S+) *$/i.exec(credentials)?.[1] ?? (basic ? passwordIn(credentials) : undefined);
  if (key === undefined || key.length > KEY_CHARACTERS_MAX) {
    throw new WeirError("invalid_api_key", "The Authorization header is not of the form 'Bearer YOUR_KEY'.");
  }
  return key;
}

/** Of Basic credentials; the user's name before it does not matter. */
function passwordIn(credentials: string): string | undefined {
  const encoded = /^basic +([\w+/-]+=*) *$/i.exec(credentials)?.[1];
  if (encoded === undefined) return undefined;
  return /^[^:]*:(\S+)$/.exec(Buffer.from(encoded, "base64").toString("utf8"))?.[1];
}
