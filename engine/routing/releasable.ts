/** Whether a request may go out pseudonymised: what is left of it must be public by itself. */
import type { DataClass } from "../core/data-class.ts";
import type { GenerationRequest } from "../core/request.ts";
import { pseudonymise } from "./pseudonyms.ts";

/** Replacing takes the thread that all streams share some 0.1 ms a kilobyte: more than this stays in the house. */
const CHARACTERS_MAX = 65_536;

/** `judge`: as the cloud's door judges bytes. False where a value cannot be replaced, a text is
 * longer than 64 kB, or there is no request at all. */
export async function isReleasable(
  requests: readonly GenerationRequest[],
  judge: (bytes: Uint8Array) => DataClass | Promise<DataClass>,
): Promise<boolean> {
  // Choices share their prompt.
  for (const request of new Map(requests.map((each) => [each.prompt, each])).values()) {
    if (JSON.stringify(request.prompt).length > CHARACTERS_MAX) return false;
    const hidden = pseudonymise(request);
    if (hidden === undefined) return false;
    // Not the sampling: its numbers are no text, and the door reads them once more.
    const { prompt, stop } = hidden.request;
    if ((await judge(Buffer.from(JSON.stringify({ ...prompt, stop })))) !== "public") return false;
  }
  return requests.length > 0;
}
