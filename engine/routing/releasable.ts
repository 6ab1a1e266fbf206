/** Whether a request may go out pseudonymised: what is left of it must be public by itself. */
import type { DataClass } from "../core/data-class.ts";
import type { GenerationRequest } from "../core/request.ts";
import { pseudonymise } from "./pseudonyms.ts";

/** `judge`: as the cloud's door judges bytes. False where a value cannot be replaced, or there is no request at all. */
export async function isReleasable(
  requests: readonly GenerationRequest[],
  judge: (bytes: Uint8Array) => DataClass | Promise<DataClass>,
): Promise<boolean> {
  for (const request of requests) {
    const hidden = pseudonymise(request);
    if (hidden === undefined) return false;
    // Not the sampling: its numbers are no text, and the door reads them once more.
    const { prompt, stop } = hidden.request;
    if ((await judge(Buffer.from(JSON.stringify({ ...prompt, stop })))) !== "public") return false;
  }
  return requests.length > 0;
}
