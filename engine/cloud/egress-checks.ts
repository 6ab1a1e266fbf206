/** What the doors ask of an address and of headers before anything is opened. Pure. */
import { WeirError } from "../core/errors.ts";
import type { Destination } from "./destination.ts";

/** Headers carry no text of a request: these names, and short printable values. */
const HEADERS: ReadonlySet<string> = new Set([
  "accept",
  "anthropic-version",
  "api-key",
  "authorization",
  "content-type",
  "user-agent",
  "x-api-key",
  "x-goog-api-key",
]);
const HEADER_VALUE = /^[\x20-\x7e]{0,8192}$/;

/** Model names and versions of an interface stand in these parts, and nothing that needs an escape. */
const PATH = /^\/[A-Za-z0-9._~:@/-]{0,300}$/;
const QUERY = /^(?:\?[A-Za-z0-9._~=&-]{0,100})?$/;

/** `why` holds no text of a request. */
export const refused = (backend: string, why: string): WeirError =>
  new WeirError("egress_refused", `Nothing was sent to ${backend}: ${why}.`);

/** Throws `egress_refused` unless the address is one of the destination's own. */
export function checkTarget(destination: Destination, text: string): URL {
  const url = URL.parse(text);
  if (url === null) throw refused(destination.name, "its address is none");
  const secure = url.protocol === "https:";
  if (!secure && !(url.protocol === "http:" && destination.plaintext)) {
    throw refused(destination.name, `its address has the protocol ${url.protocol}, which is not allowed`);
  }
  if (url.username !== "" || url.password !== "" || url.hash !== "") {
    throw refused(destination.name, "its address has parts that none may have");
  }
  if (!destination.hosts.some((host) => sameHost(host, url))) {
    throw refused(destination.name, "the host is not on its list");
  }
  if (!PATH.test(url.pathname) || !QUERY.test(url.search)) {
    throw refused(destination.name, "its address has a path that none may have");
  }
  return url;
}

/** Compared as URLs, so that capitals and the usual port make no difference. */
const sameHost = (allowed: string, url: URL): boolean =>
  URL.parse(`${url.protocol}//${allowed}`)?.host === url.host;

export function checkHeaders(
  destination: Destination,
  headers: Readonly<Record<string, string>>,
): Record<string, string> {
  for (const [name, value] of Object.entries(headers)) {
    if (!HEADERS.has(name)) throw refused(destination.name, `a header is not on the list of allowed ones`);
    if (!HEADER_VALUE.test(value)) throw refused(destination.name, `the value of ${name} cannot be sent`);
  }
  return { "user-agent": "weir", ...headers };
}
