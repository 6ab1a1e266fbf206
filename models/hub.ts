/** Pulls a model from a Hugging-Face-compatible hub into a folder; installing it is another step's work. */
import { mkdirSync, rmSync, statfsSync } from "node:fs";
import { basename, join } from "node:path";
import type { Clock } from "../engine/core/clock.ts";
import { chooseFiles } from "./hub/choose.ts";
import type { HubDoor } from "./hub/door.ts";
import { type DownloadOptions, downloadFile } from "./hub/download.ts";
import { final, HubError } from "./hub/hub-error.ts";
import { type HubFile, listRepository } from "./hub/listing.ts";
import { partBytesOnDisk } from "./hub/part-file.ts";
import type { HubReference } from "./hub/reference.ts";
import { takeLock } from "./lock.ts";

export { type HubDoor, openHub } from "./hub/door.ts";

export { type HubReference, parseReference } from "./hub/reference.ts";

export interface PullOptions extends Omit<DownloadOptions, "onBytes"> {
  /** `$WEIR_HOME/downloads` */
  readonly downloadsFolder: string;
  /** What `--file` says. */
  readonly file: string | undefined;
  /** More than this is refused before it starts, in bytes. */
  readonly downloadBytesMax: number;
  readonly clock: Clock;
  /** Over all files; `what` is the file that is being fetched. */
  readonly onProgress: (doneBytes: number, totalBytes: number, what: string) => void;
}

export interface Pulled {
  /** What to import: a GGUF file, a folder with safetensors, or an exported graph with what it needs beside it. */
  readonly path: string;
  /** `ORG/NAME@commit` */
  readonly origin: string;
  /** As the model's card states it. */
  readonly licence: string | undefined;
  /** Removes the downloaded files. */
  discard(): void;
  /** Lets other processes pull this repository again. */
  [Symbol.dispose](): void;
}

/** Throws HubError. After a failure what was fetched stays, and the next pull of the same commit goes on from there. */
export async function pullFromHub(
  door: HubDoor,
  reference: HubReference,
  options: PullOptions,
): Promise<Pulled> {
  const { repository } = reference;
  const listing = await retried(() => listRepository(door, reference, options.signal), options);
  const choice = chooseFiles(listing, options.file);
  const base = join(options.downloadsFolder, repository.replace("/", "+"));
  const folder = join(base, listing.commit);
  const placeOf = (file: HubFile): string => join(folder, basename(file.path));
  mkdirSync(folder, { recursive: true });
  const lock = `${base}.lock`;
  takeLock(lock, `the download of ${repository}`, options.clock);
  try {
    checkSize(choice.files, placeOf, options);
    const totalBytes = choice.files.reduce((sum, file) => sum + file.size, 0);
    let doneBefore = 0;
    for (const file of choice.files) {
      const onBytes = (done: number): void => options.onProgress(doneBefore + done, totalBytes, file.path);
      await downloadFile(door, listing, file, placeOf(file), { ...options, onBytes });
      doneBefore += file.size;
    }
  } catch (error) {
    rmSync(lock, { force: true });
    throw error;
  }
  return {
    path: choice.file === undefined ? folder : placeOf(choice.file),
    origin: `${repository}@${listing.commit}`,
    licence: listing.licence,
    discard: () => rmSync(base, { recursive: true, force: true }),
    [Symbol.dispose]: () => rmSync(lock, { force: true }),
  };
}

function checkSize(
  files: readonly HubFile[],
  placeOf: (file: HubFile) => string,
  options: PullOptions,
): void {
  const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(2)} GB`;
  const total = files.reduce((sum, file) => sum + file.size, 0);
  if (total > options.downloadBytesMax) {
    const most = gigabytes(options.downloadBytesMax);
    throw final(`This pull would fetch ${gigabytes(total)}; hub.download_bytes_max allows ${most}.`);
  }
  const missing = files.reduce((sum, file) => sum + file.size - partBytesOnDisk(placeOf(file), file), 0);
  const { bavail, bsize } = statfsSync(options.downloadsFolder);
  if (missing > bavail * bsize) {
    const free = gigabytes(bavail * bsize);
    throw final(
      `This pull needs ${gigabytes(missing)} under ${options.downloadsFolder}, where ${free} are free. Free some space, or set WEIR_HOME.`,
    );
  }
}

/** The listing is asked for as patiently as the files. */
async function retried<T>(ask: () => Promise<T>, { attemptsMax, pause, signal }: PullOptions): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof HubError) || !error.retryable || attempt >= attemptsMax) throw error;
      await pause(Math.max(Math.min(30_000, 500 * 2 ** (attempt - 1)), error.retryAfterMs ?? 0), signal);
    }
  }
}
