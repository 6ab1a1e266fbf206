/**
 * The one way out to a hub: `openHub`. It follows redirects itself, so that the token goes to the hub's own address and
 * nowhere else. Connections are opened by the transport that it is given.
 */
import type { Readable } from "node:stream";
import { final, HubError } from "./hub-error.ts";

const REDIRECTS_MAX = 5;

export interface HubAnswer {
  readonly status: number;
  /** One value a name, lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Readable;
  /** `huggingface.co`: where the answer came from after redirects. */
  readonly host: string;
  /** False where a redirect led away from the hub's own address. */
  readonly fromHub: boolean;
}

export interface ByteRange {
  readonly first: number;
  /** Included. */
  readonly last: number;
}

export interface HubDoor {
  /** The hub's address, without a slash at the end. */
  readonly endpoint: string;
  readonly hasToken: boolean;
  /** `path` begins with a slash. The caller reads the body to its end or destroys it. Throws HubError. */
  get(
    path: string,
    options: { readonly range?: ByteRange; readonly signal: AbortSignal },
  ): Promise<HubAnswer>;
  close(): Promise<void>;
}

/** Plain GETs that follow no redirects. Errors are those of undici: `connectionError` reads them. */
export interface HubTransport {
  get(
    url: URL,
    options: { readonly headers: Readonly<Record<string, string>>; readonly signal: AbortSignal },
  ): Promise<Pick<HubAnswer, "status" | "headers" | "body">>;
  close(): Promise<void>;
}

export interface DoorOptions {
  readonly token: (() => string) | undefined;
}

export function openHub(endpoint: string, transport: HubTransport, options: DoorOptions): HubDoor {
  const own = new URL(endpoint);
  return {
    endpoint,
    hasToken: options.token !== undefined,
    close: () => transport.close(),
    get: async (path, { range, signal }) => {
      let url = new URL(`${endpoint}${path}`);
      for (let hop = 0; hop <= REDIRECTS_MAX; hop += 1) {
        const fromHub = url.origin === own.origin;
        const answer = await ask(transport, url, {
          signal,
          headers: {
            // Ranges and digests are of the file's own bytes.
            "accept-encoding": "identity",
            "user-agent": "weir",
            ...(range === undefined ? {} : { range: `bytes=${range.first}-${range.last}` }),
            ...(fromHub && options.token !== undefined ? { authorization: `Bearer ${options.token()}` } : {}),
          },
        });
        const { location } = answer.headers;
        if (![301, 302, 303, 307, 308].includes(answer.status) || location === undefined) {
          return { ...answer, host: url.host, fromHub };
        }
        answer.body.destroy();
        url = nextHop(url, location);
      }
      throw final(
        `${own.host} redirects more than ${REDIRECTS_MAX} times; is ${endpoint} the right HF_ENDPOINT?`,
      );
    },
  };
}

async function ask(
  transport: HubTransport,
  url: URL,
  asking: Parameters<HubTransport["get"]>[1],
): ReturnType<HubTransport["get"]> {
  try {
    return await transport.get(url, asking);
  } catch (error) {
    throw connectionError(url.host, error);
  }
}

function nextHop(from: URL, location: string): URL {
  const to = URL.parse(location, from.href);
  if (to === null || (to.protocol !== "https:" && to.protocol !== "http:")) {
    throw final(`${from.host} redirects to an address that weir does not follow.`);
  }
  if (from.protocol === "https:" && to.protocol === "http:") {
    throw final(`${from.host} redirects from https to plain http, which weir does not follow.`);
  }
  return to;
}

/** Whatever undici throws while connecting, waiting or reading. An abort stays what it is. */
export function connectionError(host: string, error: unknown): unknown {
  if (error instanceof HubError || (error as Error).name === "AbortError") return error;
  const code = String((error as NodeJS.ErrnoException).code ?? "");
  const certificate = /CERT|SELF_SIGNED|UNABLE_TO_(VERIFY|GET_ISSUER)/.test(code);
  if (certificate) {
    const message = `${host} shows a certificate that this machine does not trust (${code}). NODE_EXTRA_CA_CERTS adds one.`;
    return final(message, error);
  }
  const why = REASONS[code] ?? (error as Error).message;
  return new HubError(`${host}: ${why}.`, { retryable: true, cause: error });
}

const REASONS: Readonly<Record<string, string>> = {
  ENOTFOUND: "there is no such host",
  EAI_AGAIN: "its address could not be looked up",
  ECONNREFUSED: "the connection was refused",
  ECONNRESET: "the connection was cut",
  UND_ERR_SOCKET: "the connection was cut",
  UND_ERR_CONNECT_TIMEOUT: "it did not answer in time",
  UND_ERR_HEADERS_TIMEOUT: "it did not answer in time",
  UND_ERR_BODY_TIMEOUT: "it stopped sending",
};
