/** Asks a hub what a repository holds at one commit: names, sizes, digests, licence. Nothing it says is believed unseen. */
import type { Readable } from "node:stream";
import { z } from "zod";
import type { HubAnswer, HubDoor } from "./door.ts";
import { connectionError } from "./door.ts";
import { final, HubError } from "./hub-error.ts";
import type { HubReference } from "./reference.ts";

const ANSWER_BYTES_MAX = 32 * 1024 * 1024;
const FILES_MAX = 20_000;

const Answer = z.object({
  sha: z.string().regex(/^[0-9a-f]{40}$/, "must be a commit's digest"),
  siblings: z
    .array(
      z.object({
        rfilename: z.string().min(1).max(1024),
        size: z.int().min(0).optional(),
        blobId: z.string().optional(),
        lfs: z.object({ sha256: z.string(), size: z.int().min(0) }).nullish(),
      }),
    )
    .max(FILES_MAX),
  cardData: z
    .object({
      license: z.union([z.string(), z.array(z.string())]).nullish(),
      license_name: z.string().nullish(),
    })
    .nullish(),
});

/** Git names a small file by the sha1 of its blob; large ones (LFS) have the sha256 of their bytes. */
export interface FileDigest {
  readonly kind: "sha256" | "git-sha1";
  readonly hex: string;
}

export interface HubFile {
  /** Path in the repository, with / between folders; checked. */
  readonly path: string;
  readonly size: number;
  readonly digest: FileDigest;
}

export interface HubListing {
  readonly repository: string;
  /** The commit that the revision meant when it was asked; everything is fetched from it. */
  readonly commit: string;
  readonly files: readonly HubFile[];
  readonly licence: string | undefined;
}

export async function listRepository(
  door: HubDoor,
  { repository, revision }: HubReference,
  signal: AbortSignal,
): Promise<HubListing> {
  const path = `/api/models/${repository}/revision/${encodeURIComponent(revision)}?blobs=true`;
  const answer = await door.get(path, { signal });
  if (answer.status !== 200) {
    answer.body.destroy();
    throw refusal(answer, door, `${repository} at ${revision}`, repository);
  }
  const text = await readText(answer);
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (error) {
    throw final(
      `${door.endpoint} does not speak the hub's language: its answer is not JSON. Check HF_ENDPOINT.`,
      error,
    );
  }
  const parsed = Answer.safeParse(content);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw final(
      `${door.endpoint} gave a listing that weir cannot read: ${issue?.path.join(".")}: ${issue?.message}.`,
    );
  }
  const { sha, siblings, cardData } = parsed.data;
  return { repository, commit: sha, files: siblings.flatMap(toFile), licence: licenceOf(cardData) };
}

type Sibling = z.infer<typeof Answer>["siblings"][number];

function toFile({ rfilename, size, blobId, lfs }: Sibling): readonly HubFile[] {
  refuseTricks(rfilename);
  if (lfs !== undefined && lfs !== null) {
    if (!/^[0-9a-f]{64}$/.test(lfs.sha256)) throw final(`The hub gives a damaged digest for ${rfilename}.`);
    return [{ path: rfilename, size: lfs.size, digest: { kind: "sha256", hex: lfs.sha256 } }];
  }
  // A file without size or digest cannot be checked; it counts as absent.
  if (size === undefined || blobId === undefined || !/^[0-9a-f]{40}$/.test(blobId)) return [];
  return [{ path: rfilename, size, digest: { kind: "git-sha1", hex: blobId } }];
}

/** One name that tries to leave its folder condemns the whole listing: an honest hub never sends it. */
function refuseTricks(path: string): void {
  const parts = path.split("/");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  const odd = /[\u0000-\u001f\u007f\\]/.test(path) || /^[A-Za-z]:/.test(path);
  if (odd || parts.some((part) => part === "" || part === "." || part === "..")) {
    throw final(
      `The hub lists a file named ${JSON.stringify(path.slice(0, 120))}, which would leave its folder. Nothing was fetched.`,
    );
  }
}

function licenceOf(card: z.infer<typeof Answer>["cardData"]): string | undefined {
  const stated = card?.license;
  const text = Array.isArray(stated) ? stated.join(", ") : stated;
  const named = text === "other" ? (card?.license_name ?? text) : text;
  return named === undefined || named === null || named === "" ? undefined : named.slice(0, 200);
}

/** An answer that is no success, as an error that says what to do. `what`: `a/b at main`, `model.gguf`. */
export function refusal(answer: HubAnswer, door: HubDoor, what: string, repository: string): HubError {
  const { status, headers, host, fromHub } = answer;
  const reason = headers["x-error-code"];
  const page = `${door.endpoint}/${repository}`;
  if (!fromHub && (status === 401 || status === 403)) {
    // Signed addresses run out; asking the hub again gives a fresh one.
    return new HubError(`${host} refused ${what} (${status}).`, { retryable: true });
  }
  switch (status) {
    case 401:
    case 403: {
      if (reason === "GatedRepo") {
        return final(
          `${repository} is gated: accept its terms on ${page}, then set HF_TOKEN to a token of that account.`,
        );
      }
      const why = door.hasToken
        ? "the hub does not let this HF_TOKEN read it, or there is no such repository"
        : "it is private, gated, or does not exist; set HF_TOKEN if you may read it";
      return final(`${what} is not to be had (${status}): ${why}. Its page: ${page}`);
    }
    case 404:
      return final(
        reason === "RevisionNotFound"
          ? `${repository} has no such revision (${what}). Its page: ${page}`
          : `There is no ${what} on ${door.endpoint}. Check the spelling; names tell capitals apart.`,
      );
    default: {
      const retryable = status === 408 || status === 429 || status >= 500;
      const busy = status === 429 ? "too many requests; " : "";
      const message = `${host} answered ${status} for ${what}: ${busy}try again later.`;
      const retryAfterMs = retryAfter(headers["retry-after"]);
      return new HubError(message, { retryable, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) });
    }
  }
}

/** Seconds only: a date would need a clock that agrees with the server's. */
const retryAfter = (value: string | undefined): number | undefined =>
  value !== undefined && /^\d{1,6}$/.test(value) ? Number(value) * 1000 : undefined;

async function readText({ body, host }: HubAnswer): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  try {
    for await (const part of body as Readable & AsyncIterable<Buffer>) {
      length += part.byteLength;
      if (length > ANSWER_BYTES_MAX)
        throw final(`${host} sends a listing of more than ${ANSWER_BYTES_MAX} bytes.`);
      parts.push(part);
    }
  } catch (error) {
    throw connectionError(host, error);
  }
  return Buffer.concat(parts).toString("utf8");
}
