/** What a client reads when its sequence failed: what happened, why, what to do next. */
import { answerTokens, type LiveSequence, RETRIES_MAX } from "./live-sequence.ts";

export function timeoutMessage(live: LiveSequence): string {
  const where =
    live.phase.kind === "waiting"
      ? "it was still waiting for a free slot"
      : `${answerTokens(live)} of at most ${live.answerMax} answer tokens were done`;
  const seconds = (live.deadline - live.arrivedAt) / 1_000;
  const advice = "Ask for fewer tokens, allow it more time, or try later.";
  return `The request was not done after its ${seconds} s: ${where}. ${advice}`;
}

/** `cause`: the failed step's own words. */
export function backendMessage(live: LiveSequence, cause: string): string {
  const why =
    answerTokens(live) > 0
      ? "part of the answer was out already, so it could not be computed again"
      : `it failed again after ${RETRIES_MAX} retries`;
  return `The model's worker failed on this request (${cause}) and ${why}. Send the request again.`;
}
