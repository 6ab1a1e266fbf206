/**
 * A hub and its content network as two real HTTP servers, the parts of the protocol that pulls use: the listing of a
 * commit, files by commit, redirects of large files to another host with a signed address, ranges. Faults on demand.
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface DoubleFile {
  readonly content: Buffer;
  /** Large files go by sha256 and over the content network. */
  readonly lfs?: boolean;
  /** Overrides what the listing says of it. */
  readonly listed?: Readonly<Record<string, unknown>>;
}

export interface DoubleRepository {
  readonly files: Readonly<Record<string, DoubleFile>>;
  readonly commit?: string;
  readonly license?: string;
  /** Only with this token. */
  readonly token?: string;
  readonly gated?: boolean;
}

/** What the next answer for a file does instead of being right; one is used up by each request. */
export type Fault =
  | { readonly kind: "status"; readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  /** Cuts the connection after so many bytes of the body. */
  | { readonly kind: "truncate"; readonly after: number }
  /** Ends the body politely although bytes are missing (no content-length). */
  | { readonly kind: "short"; readonly after: number }
  | { readonly kind: "damage" }
  /** Sends so many bytes, and then nothing. */
  | { readonly kind: "stall"; readonly after: number }
  | { readonly kind: "redirect"; readonly to: string }
  | { readonly kind: "other-range" }
  | { readonly kind: "longer" };

export interface Seen {
  readonly at: "hub" | "content";
  /** With the query. */
  readonly url: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

export interface HubDouble {
  /** For HF_ENDPOINT. */
  readonly url: string;
  readonly contentUrl: string;
  readonly seen: Seen[];
  /** Faults by file path, first come first served; `api` for the listing. */
  readonly faults: Map<string, Fault[]>;
  /** False: `range` is ignored, the whole file comes. */
  ranges: boolean;
  /** Every answer of the content network comes this much later. */
  delayMs: number;
  /** The most answers that were under way at the same time. */
  busiest(): number;
  close(): Promise<void>;
}

export const COMMIT = "0123456789abcdef0123456789abcdef01234567";

/** The id that git gives a file, which hubs list as `blobId`. */
export const gitDigest = (content: Buffer): string =>
  createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");
export const sha256 = (content: Buffer): string => createHash("sha256").update(content).digest("hex");

export async function startHubDouble(
  repositories: Readonly<Record<string, DoubleRepository>>,
): Promise<HubDouble> {
  const seen: Seen[] = [];
  const faults = new Map<string, Fault[]>();
  let open = 0;
  let most = 0;
  const note = (at: Seen["at"], request: IncomingMessage): void => {
    const { range, authorization } = request.headers;
    seen.push({ at, url: request.url ?? "", range, authorization });
  };
  const track = (response: ServerResponse): void => {
    open += 1;
    most = Math.max(most, open);
    response.on("close", () => {
      open -= 1;
    });
  };
  const double = { ranges: true, delayMs: 0 };

  const content = createServer((request, response) => {
    note("content", request);
    track(response);
    const url = new URL(request.url ?? "/", "http://content");
    const [, organisation, name, ...path] = url.pathname.split("/").map(decodeURIComponent);
    const file = repositories[`${organisation}/${name}`]?.files[path.join("/")];
    if (file === undefined || url.searchParams.get("signature") !== "valid")
      return void response.writeHead(403).end();
    const fault = faults.get(path.join("/"))?.shift();
    setTimeout(() => sendFile(request, response, file.content, fault, double.ranges), double.delayMs);
  });
  const contentUrl = await listen(content);

  const hub = createServer((request, response) => {
    note("hub", request);
    const url = new URL(request.url ?? "/", "http://hub");
    const parts = url.pathname.split("/").map(decodeURIComponent).slice(1);
    const isApi = parts[0] === "api";
    const [organisation, name] = isApi ? parts.slice(2) : parts;
    const repository = repositories[`${organisation}/${name}`];
    const commit = repository?.commit ?? COMMIT;
    const denied = deny(repository, request);
    if (denied !== undefined) return void response.writeHead(denied.status, denied.headers).end("{}");
    if (repository === undefined) return void response.writeHead(404).end();
    if (isApi) {
      const fault = faults.get("api")?.shift();
      if (fault !== undefined) return void sendFile(request, response, Buffer.from("{}"), fault, false);
      if (!["main", "v1", commit].includes(parts[5] ?? "")) {
        return void response.writeHead(404, { "x-error-code": "RevisionNotFound" }).end();
      }
      response.setHeader("content-type", "application/json");
      return void response.end(JSON.stringify(listing(repository, commit)));
    }
    const path = parts.slice(4).join("/");
    const file = repository.files[path];
    if (file === undefined || parts[2] !== "resolve" || parts[3] !== commit)
      return void response.writeHead(404).end();
    if (file.lfs === true) {
      const location = `${contentUrl}/${organisation}/${name}/${path}?signature=valid`;
      return void response.writeHead(302, { location }).end("moved");
    }
    track(response);
    sendFile(request, response, file.content, faults.get(path)?.shift(), double.ranges);
  });
  const url = await listen(hub);
  return Object.assign(double, {
    url,
    contentUrl,
    seen,
    faults,
    busiest: () => most,
    close: async () => {
      await Promise.all([stop(hub), stop(content)]);
    },
  });
}

function deny(repository: DoubleRepository | undefined, request: IncomingMessage) {
  if (repository?.token === undefined || request.headers.authorization === `Bearer ${repository.token}`)
    return undefined;
  const gated = repository.gated === true;
  return { status: gated ? 403 : 401, headers: gated ? { "x-error-code": "GatedRepo" } : {} };
}

function listing(repository: DoubleRepository, commit: string): unknown {
  return {
    sha: commit,
    cardData: repository.license === undefined ? undefined : { license: repository.license },
    siblings: Object.entries(repository.files).map(([rfilename, { content, lfs, listed }]) => ({
      rfilename,
      size: content.length,
      blobId: gitDigest(content),
      ...(lfs === true
        ? {
            lfs: {
              sha256: sha256(content),
              size: content.length,
              pointerSize: 130,
            },
          }
        : {}),
      ...listed,
    })),
  };
}

function sendFile(
  request: IncomingMessage,
  response: ServerResponse,
  content: Buffer,
  fault: Fault | undefined,
  ranges: boolean,
): void {
  if (fault?.kind === "status") return void response.writeHead(fault.status, fault.headers).end("no");
  if (fault?.kind === "redirect") return void response.writeHead(302, { location: fault.to }).end();
  const [, first = "0", last = ""] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
  const ranged = ranges && request.headers.range !== undefined;
  const from = ranged ? Number(first) : 0;
  const to = ranged && last !== "" ? Number(last) : content.length - 1;
  let body = content.subarray(from, to + 1);
  if (fault?.kind === "damage") body = Buffer.from(body.map((byte) => byte ^ 1));
  if (fault?.kind === "longer") body = Buffer.concat([body, Buffer.from("more")]);
  const shift = fault?.kind === "other-range" ? 1 : 0;
  if (fault?.kind !== "short" && fault?.kind !== "longer") response.setHeader("content-length", body.length);
  if (ranged) response.setHeader("content-range", `bytes ${from + shift}-${to}/${content.length}`);
  response.writeHead(ranged ? 206 : 200);
  switch (fault?.kind) {
    case "truncate":
      return void response.write(body.subarray(0, fault.after), () =>
        setTimeout(() => response.destroy(), 20),
      );
    case "short":
      return void response.end(body.subarray(0, fault.after));
    case "stall":
      return void response.write(body.subarray(0, fault.after));
    default:
      return void response.end(body);
  }
}

const listen = (server: Server): Promise<string> =>
  new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () =>
      resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    );
  });

const stop = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
