/**
 * The only module that opens connections to the outside, through four doors. Each asks for what only its rightful caller
 * has: `cloud` a proof about the very bytes, `onprem` a host of the configuration, `hub` an operator's command,
 * `webhook` a notice that has no room for text of a request. What is not proven stays inside.
 */
import { lookup } from "node:dns/promises";
import { connect, isIP, type Socket } from "node:net";
import type { Readable } from "node:stream";
import { connect as connectTls } from "node:tls";
import { Agent, type buildConnector, type Dispatcher, EnvHttpProxyAgent, ProxyAgent, request } from "undici";
import type { Brand } from "../core/brand.ts";
import type { DataClass } from "../core/data-class.ts";
import { WeirError } from "../core/errors.ts";
import type { Zone } from "../core/policy.ts";
import { type AddressRanges, addressKind, addressRanges } from "./addresses.ts";
import type { Destination } from "./destination.ts";
import { checkHeaders, checkTarget, refused } from "./egress-checks.ts";
import { type PublicProof, proves } from "./public-proof.ts";

export type CloudHost = Brand<string, "CloudHost">;
export type OnpremHost = Brand<string, "OnpremHost">;

declare const operator: unique symbol;
/** A person's command, as against a request that came over the network. */
export interface OperatorCommand {
  readonly [operator]: true;
}

/** Only for the files of server/cli; `tidy` holds that. */
export const operatorCommand = (): OperatorCommand => ({}) as OperatorCommand;

/** All that a webhook may say. No field has room for text of a request: names are those of the configuration. */
export interface WebhookNotice {
  readonly event: "backend_down" | "backend_up";
  readonly backend: CloudHost | OnpremHost;
  /** Milliseconds since 1970. */
  readonly at: number;
}

export interface Outgoing {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON; sent by POST. */
  readonly body: Uint8Array;
  readonly signal: AbortSignal;
}

export interface Incoming {
  readonly status: number;
  /** One value a name, lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Read to its end, or destroyed. */
  readonly body: Readable;
}

export interface HubOptions {
  /** For a connection, for the first byte, and between two bytes. */
  readonly idleTimeoutMs: number;
  readonly connectionsMax: number;
  /** Addresses of proxies, and the hosts that go without one, as in the usual environment variables. */
  readonly proxy: { readonly http?: string; readonly https?: string; readonly except?: string };
}

/** Plain GETs that follow no redirects; errors are undici's. */
export interface HubTransport {
  get(
    url: URL,
    options: { readonly headers: Readonly<Record<string, string>>; readonly signal: AbortSignal },
  ): Promise<Incoming>;
  close(): Promise<void>;
}

export interface EgressOptions {
  readonly destinations: readonly Destination[];
  readonly webhook: Destination | undefined;
  /** Where notices go; its host is one of the webhook's. */
  readonly webhookUrl: string | undefined;
  /** A scan that takes longer counts as failed, in ms. */
  readonly scanTimeoutMs: number;
}

export interface EgressPorts {
  /** Judges bytes that are about to leave, without knowing where they came from. */
  readonly scan: (bytes: Uint8Array) => Promise<DataClass>;
  /** A host's addresses; asked once a connection. The system's own where absent. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
}

export interface Egress {
  /** Throws RangeError where the configuration has no such backend in the cloud. */
  cloudHost(name: string): CloudHost;
  /** Throws RangeError where the configuration has no such backend on the premises. */
  onpremHost(name: string): OnpremHost;
  /** Throws `egress_refused` before a byte leaves; connection errors as undici and Node throw them. */
  cloud(host: CloudHost, proof: PublicProof, outgoing: Outgoing): Promise<Incoming>;
  /** As `cloud`, without proof and scan. */
  onprem(host: OnpremHost, outgoing: Outgoing): Promise<Incoming>;
  /** The receiver's HTTP status. */
  webhook(notice: WebhookNotice, signal: AbortSignal): Promise<number>;
  close(): Promise<void>;
}

interface Way {
  readonly destination: Destination;
  readonly dispatcher: Dispatcher;
}

/** Throws RangeError for ranges and proxies that are none. */
export function createEgress(options: EgressOptions, ports: EgressPorts): Egress {
  const resolve = ports.resolve ?? systemResolve;
  const wayTo = (destination: Destination): Way => ({
    destination,
    dispatcher: dispatcherFor(destination, resolve),
  });
  const ways = new Map(options.destinations.map((each) => [each.name, wayTo(each)]));
  const notices = options.webhook === undefined ? undefined : wayTo(options.webhook);
  const find = (name: string, zone: Zone): Way => {
    const way = ways.get(name);
    if (way?.destination.zone === zone) return way;
    throw new RangeError(`there is no ${zone} backend ${JSON.stringify(name.slice(0, 60))}`);
  };
  return {
    cloudHost: (name) => find(name, "cloud").destination.name as CloudHost,
    onpremHost: (name) => find(name, "onprem").destination.name as OnpremHost,
    cloud: async (host, proof, outgoing) => {
      const way = find(host, "cloud");
      // A copy of its own: what is proven, what is scanned and what is sent cannot come apart.
      const body = Buffer.from(outgoing.body);
      if (!proves(proof, body)) throw refused(host, "the proof is not about these bytes");
      const scanned = await judgedAgain(ports.scan, Buffer.from(body), options.scanTimeoutMs);
      if (scanned !== "public") throw refused(host, scanned);
      return post(way, { ...outgoing, body });
    },
    onprem: async (host, outgoing) => post(find(host, "onprem"), outgoing),
    webhook: async (notice, signal) => {
      if (notices === undefined || options.webhookUrl === undefined)
        throw refused("webhook", "none is configured");
      // Built here from checked parts, so that nothing that a caller adds to the notice goes along.
      const event = notice.event === "backend_up" ? "backend_up" : "backend_down";
      const backend = ways.get(notice.backend)?.destination.name;
      const body = Buffer.from(JSON.stringify({ event, backend, at: Number(notice.at) }));
      const headers = { "content-type": "application/json" };
      const answer = await post(notices, { url: options.webhookUrl, headers, body, signal });
      answer.body.destroy();
      return answer.status;
    },
    close: async () => {
      const all = [...ways.values(), ...(notices === undefined ? [] : [notices])];
      await Promise.all(all.map(({ dispatcher }) => dispatcher.destroy()));
    },
  };
}

/** `public`, or why the bytes stay. */
async function judgedAgain(scan: EgressPorts["scan"], bytes: Uint8Array, timeoutMs: number): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve("the scan took too long"), timeoutMs);
  });
  const judged = (async () => {
    const found = await scan(bytes);
    return found === "public" ? found : "the scan did not find its bytes public";
  })().catch(() => "the scan failed");
  try {
    return await Promise.race([judged, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function post({ destination, dispatcher }: Way, outgoing: Outgoing): Promise<Incoming> {
  const url = checkTarget(destination, outgoing.url);
  const headers = checkHeaders(destination, outgoing.headers);
  const {
    statusCode,
    headers: received,
    body,
  } = await request(url, {
    dispatcher,
    method: "POST",
    headers,
    body: outgoing.body,
    signal: outgoing.signal,
  });
  const answer = incoming(statusCode, received, body);
  if (statusCode >= 300 && statusCode < 400) {
    answer.body.destroy();
    const message = `${destination.name} answered with a redirect (${statusCode}), which weir does not follow.`;
    throw new WeirError("backend_refused", message);
  }
  return answer;
}

function incoming(
  status: number,
  received: Readonly<Record<string, string | string[] | undefined>>,
  body: Readable,
): Incoming {
  // An answer that is thrown away on purpose (a redirect, an abort) must not bring the process down.
  body.on("error", () => undefined);
  const single = Object.entries(received).map(([name, value]) => [
    name,
    Array.isArray(value) ? value[0] : value,
  ]);
  return { status, headers: Object.fromEntries(single), body };
}

type Resolve = (host: string) => Promise<readonly string[]>;

const systemResolve: Resolve = async (host) =>
  (await lookup(host, { all: true, verbatim: true })).map(({ address }) => address);

function dispatcherFor(destination: Destination, resolve: Resolve): Dispatcher {
  const bounds = {
    connections: destination.connectionsMax,
    headersTimeout: destination.headersTimeoutMs,
    bodyTimeout: destination.idleTimeoutMs,
  };
  const ca = destination.ca === undefined ? {} : { ca: destination.ca };
  if (destination.proxy !== undefined && !/^https?:\/\//.test(destination.proxy)) {
    throw new RangeError(`the proxy of ${destination.name} is no address such as http://proxy.example:3128`);
  }
  if (destination.proxy !== undefined) {
    const timeout = destination.connectTimeoutMs;
    return new ProxyAgent({
      ...bounds,
      uri: destination.proxy,
      proxyTls: { timeout },
      requestTls: { ...ca, rejectUnauthorized: true, timeout },
    });
  }
  const allowed = addressRanges(destination.ranges);
  const connector: buildConnector.connector = (options, callback) => {
    open({ destination, allowed, resolve }, options).then(
      (socket) => callback(null, socket),
      (error: unknown) => callback(error as Error, null),
    );
  };
  return new Agent({ ...bounds, connect: connector });
}

interface Opening {
  readonly destination: Destination;
  readonly allowed: AddressRanges;
  readonly resolve: Resolve;
}

/** Looks the host up once, refuses all of a doubtful answer, and connects to an address, never to a name again. */
async function open(
  { destination, allowed, resolve }: Opening,
  { hostname, protocol, port }: buildConnector.Options,
): Promise<Socket> {
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  const addresses = isIP(host) === 0 ? await resolve(host) : [host];
  const wanted = destination.zone === "cloud" ? "global" : "private";
  const bad = addresses.find((address) => addressKind(address) !== wanted && !allowed.has(address));
  if (bad !== undefined || addresses.length === 0) {
    const kind = bad === undefined ? "no address" : `an address of kind ${addressKind(bad)}`;
    throw refused(destination.name, `its host has ${kind}, and ${wanted} ones are asked for`);
  }
  const secure = protocol === "https:";
  const portNumber = port === "" ? (secure ? 443 : 80) : Number(port);
  let failure: unknown;
  for (const address of addresses) {
    try {
      return await dial(destination, { address, port: portNumber, host, secure });
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

interface Target {
  readonly address: string;
  readonly port: number;
  readonly host: string;
  readonly secure: boolean;
}

function dial(destination: Destination, { address, port, host, secure }: Target): Promise<Socket> {
  const to = { host: address, port, noDelay: true, keepAlive: true };
  const socket = secure
    ? connectTls({
        ...to,
        ALPNProtocols: ["http/1.1"],
        // Said aloud, because an environment variable can switch the check off.
        rejectUnauthorized: true,
        // The certificate is checked against this name, and against the address where the host is one.
        ...(isIP(host) === 0 ? { servername: host } : {}),
        ...(destination.ca === undefined ? {} : { ca: destination.ca }),
      })
    : connect(to);
  return new Promise((resolve, reject) => {
    const give = (error: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(error);
    };
    const late = Object.assign(new Error("connect timeout"), { code: "UND_ERR_CONNECT_TIMEOUT" });
    const timer = setTimeout(() => give(late), destination.connectTimeoutMs);
    socket.once("error", give);
    socket.once(secure ? "secureConnect" : "connect", () => {
      clearTimeout(timer);
      socket.off("error", give);
      resolve(socket);
    });
  });
}

/** The hub's door: apart from the others, because a command that pulls has no backends. */
export function openHubTransport(
  _command: OperatorCommand,
  { idleTimeoutMs, connectionsMax, proxy }: HubOptions,
): HubTransport {
  const bounds = {
    connections: connectionsMax,
    headersTimeout: idleTimeoutMs,
    bodyTimeout: idleTimeoutMs,
    connect: { timeout: idleTimeoutMs },
  };
  // Without a proxy the environment is not looked at: what counts is what the configuration passed on.
  const dispatcher =
    proxy.http === undefined && proxy.https === undefined
      ? new Agent(bounds)
      : new EnvHttpProxyAgent({
          ...bounds,
          httpProxy: proxy.http ?? "",
          httpsProxy: proxy.https ?? proxy.http ?? "",
          noProxy: proxy.except ?? "",
        });
  return {
    get: async (url, { headers, signal }) => {
      const {
        statusCode,
        headers: received,
        body,
      } = await request(url, {
        dispatcher,
        method: "GET",
        headers,
        signal,
      });
      return incoming(statusCode, received, body);
    },
    close: () => dispatcher.close(),
  };
}
