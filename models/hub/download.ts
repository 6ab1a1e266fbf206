/** Fetches one file of a repository: several ranges at a time, resumed after interruptions, checked at the end. */
import { existsSync } from "node:fs";
import type { Readable } from "node:stream";
import { uniform } from "../../engine/core/random.ts";
import { isIntact } from "./digest.ts";
import { connectionError, type HubDoor } from "./door.ts";
import { final, HubError } from "./hub-error.ts";
import { type HubFile, type HubListing, refusal } from "./listing.ts";
import { discardParts, finishParts, type Part, PartFile, partFileOf } from "./part-file.ts";

export interface DownloadOptions {
  /** Ranges at the same time. */
  readonly partsMax: number;
  readonly partBytes: number;
  /** Tries for one range without a byte of progress. */
  readonly attemptsMax: number;
  readonly signal: AbortSignal;
  /** Waits before another try. */
  readonly pause: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Bytes of this file that are there; may go back where a server cannot send ranges, or bytes were damaged. */
  readonly onBytes: (doneBytes: number) => void;
}

const PAUSE_FIRST_MS = 500;
const PAUSE_MAX_MS = 30_000;
/** A server may ask for more patience, but not for more than this. */
const RETRY_AFTER_MAX_MS = 120_000;
const SAVE_EVERY_BYTES = 16 * 1024 * 1024;

/** What a server does that ignores `range`: the whole file or nothing. */
class RangesIgnored extends Error {}

export async function downloadFile(
  door: HubDoor,
  { repository, commit }: Pick<HubListing, "repository" | "commit">,
  file: HubFile,
  target: string,
  options: DownloadOptions,
): Promise<void> {
  if (existsSync(target) && (await isIntact(target, file))) return options.onBytes(file.size);
  const path = file.path.split("/").map(encodeURIComponent).join("/");
  const source: Source = { door, url: `/${repository}/resolve/${commit}/${path}`, file, repository };

  const resumed = await fetchAll(source, target, options);
  if (await isIntact(partFileOf(target), file)) return finishParts(target);
  discardParts(target);
  // What an interrupted pull left may be damaged though its notes look right; fresh bytes must not be.
  if (resumed === "resumed") {
    await fetchAll(source, target, options);
    if (await isIntact(partFileOf(target), file)) return finishParts(target);
    discardParts(target);
  }
  throw final(
    `${file.path} arrived damaged: its digest is not the one that ${door.endpoint} states. Nothing was kept.`,
  );
}

interface Source {
  readonly door: HubDoor;
  readonly url: string;
  readonly file: HubFile;
  readonly repository: string;
}

async function fetchAll(
  source: Source,
  target: string,
  options: DownloadOptions,
): Promise<"fresh" | "resumed"> {
  let parts = await PartFile.open(target, source.file, options.partBytes);
  const kind = parts.doneBytes > 0 ? "resumed" : "fresh";
  try {
    await fetchParts(source, parts, options);
  } catch (error) {
    if (!(error instanceof RangesIgnored)) throw error;
    await parts.close();
    parts = await PartFile.fresh(target, source.file, Math.max(1, source.file.size));
    await fetchParts(source, parts, options);
  } finally {
    parts.save();
    await parts.close();
  }
  return kind;
}

/** One failed part ends the others; what they have is kept for the next try. */
async function fetchParts(source: Source, parts: PartFile, options: DownloadOptions): Promise<void> {
  const waiting = parts.parts.filter((part) => parts.doneOf(part) < part.length);
  const failure = new AbortController();
  const signal = AbortSignal.any([options.signal, failure.signal]);
  let savedAt = parts.doneBytes;
  options.onBytes(savedAt);
  const onProgress = (): void => {
    const done = parts.doneBytes;
    options.onBytes(done);
    if (done - savedAt < SAVE_EVERY_BYTES) return;
    savedAt = done;
    parts.save();
  };
  const worker = async (): Promise<void> => {
    for (let part = waiting.shift(); part !== undefined; part = waiting.shift()) {
      await fetchPart(source, parts, part, { ...options, signal }, onProgress);
    }
  };
  const count = Math.min(options.partsMax, waiting.length);
  const results = await Promise.allSettled(
    Array.from({ length: count }, () =>
      worker().catch((error: unknown) => {
        failure.abort();
        throw error;
      }),
    ),
  );
  const errors = results.flatMap((result) =>
    result.status === "rejected" ? [result.reason as unknown] : [],
  );
  // The first cause, not the aborts that it brought about.
  const cause = errors.find((error) => (error as Error).name !== "AbortError") ?? errors[0];
  if (cause !== undefined) throw cause;
}

async function fetchPart(
  source: Source,
  parts: PartFile,
  part: Part,
  options: DownloadOptions,
  onProgress: () => void,
): Promise<void> {
  for (let failures = 0; parts.doneOf(part) < part.length; ) {
    const before = parts.doneOf(part);
    try {
      await fetchRange(source, parts, part, options.signal, onProgress);
    } catch (error) {
      if (!(error instanceof HubError) || !error.retryable) throw error;
      failures = parts.doneOf(part) > before ? 1 : failures + 1;
      if (failures >= options.attemptsMax) {
        const message = `${source.file.path} could not be fetched after ${failures} tries. The last reason: ${error.message} Run the same command to go on from there.`;
        throw final(message, error);
      }
      const growing = Math.min(PAUSE_MAX_MS, PAUSE_FIRST_MS * 2 ** (failures - 1));
      // Parts that failed together come back one after the other.
      const spread = growing * (0.5 + 0.5 * uniform(part.index, failures));
      const asked = Math.min(RETRY_AFTER_MAX_MS, error.retryAfterMs ?? 0);
      await options.pause(Math.max(spread, asked), options.signal);
    }
  }
}

async function fetchRange(
  { door, url, file, repository }: Source,
  parts: PartFile,
  part: Part,
  signal: AbortSignal,
  onProgress: () => void,
): Promise<void> {
  const isWhole = part.length === file.size;
  // Without ranges a second try begins at the first byte again, so the first one asks for the whole file plainly.
  const first = part.first + parts.doneOf(part);
  const range = isWhole && first === 0 ? undefined : { first, last: part.first + part.length - 1 };
  const answer = await door.get(url, { signal, ...(range === undefined ? {} : { range }) });
  if (answer.status === 200 && range !== undefined) {
    if (!isWhole) {
      answer.body.destroy();
      throw new RangesIgnored();
    }
    parts.restart(part);
  } else if (answer.status !== (range === undefined ? 200 : 206)) {
    answer.body.destroy();
    throw refusal(answer, door, file.path, repository);
  } else if (range !== undefined) {
    const stated = answer.headers["content-range"];
    if (stated !== `bytes ${range.first}-${range.last}/${file.size}`) {
      answer.body.destroy();
      throw final(`${answer.host} sent another range of ${file.path} than it was asked for.`);
    }
  }
  try {
    for await (const bytes of answer.body as Readable & AsyncIterable<Uint8Array>) {
      if (bytes.byteLength > part.length - parts.doneOf(part)) {
        throw final(
          `${answer.host} sends more of ${file.path} than its size; the hub or a proxy changes files.`,
        );
      }
      await keep(parts, part, bytes);
      onProgress();
    }
  } catch (error) {
    throw connectionError(answer.host, error);
  }
  if (parts.doneOf(part) < part.length) {
    throw new HubError(`${answer.host} ended ${file.path} before its last byte.`, { retryable: true });
  }
}

/** A full disk is no fault of the hub, and trying again does not help. */
async function keep(parts: PartFile, part: Part, bytes: Uint8Array): Promise<void> {
  try {
    await parts.write(part, bytes);
  } catch (error) {
    throw final(`The download could not be written: ${(error as Error).message}.`, error);
  }
}
