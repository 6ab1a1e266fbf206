/** Checks a file on disk against what the hub says of it. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import type { HubFile } from "./listing.ts";

/** True where size and digest agree. */
export async function isIntact(path: string, { size, digest }: HubFile): Promise<boolean> {
  const hash = createHash(digest.kind === "sha256" ? "sha256" : "sha1");
  // Git's name for a blob covers a header too: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
  if (digest.kind === "git-sha1") hash.update(`blob ${size}\0`);
  let length = 0;
  for await (const part of createReadStream(path, { highWaterMark: 1 << 20 })) {
    hash.update(part as Uint8Array);
    length += (part as Uint8Array).byteLength;
  }
  return length === size && hash.digest("hex") === digest.hex;
}
