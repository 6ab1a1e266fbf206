/**
 * Several backends of one zone as one: the first that begins an answer gives it. A list that holds another zone is a type
 * error and, should the types be got around, refused when it is made: there is no way down from here.
 */
import { assert } from "../core/assert.ts";
import { type ErrorCode, WeirError } from "../core/errors.ts";
import type { GenerationEvent } from "../core/generator.ts";
import type { Zone } from "../core/policy.ts";
import type { GenerationRequest } from "../core/request.ts";
import type { ZonedGenerator } from "./zoned.ts";

/**
 * What another backend may do better. Not among them: what every backend would refuse, what may not leave, a client that
 * left, and a time limit, which leaves no time for another.
 */
const ELSEWHERE: ReadonlySet<ErrorCode> = new Set([
  "backend_failed",
  "backend_refused",
  "backend_unavailable",
  "draining",
  "model_load_failed",
  "model_not_found",
  "not_ready",
  "overloaded",
]);

/** `backends` in the order of preference, at least one. The last one's error is the answer's where all fail. */
export function createFallback<Z extends Zone>(
  zone: Z,
  backends: readonly ZonedGenerator<NoInfer<Z>>[],
): ZonedGenerator<Z> {
  assert(backends.length > 0, "a fallback list needs a backend");
  for (const { name, zone: theirs } of backends) {
    assert(theirs === zone, `the fallback list of ${zone} holds ${name}, which is in ${theirs}`);
  }
  return {
    zone,
    name: backends.map(({ name }) => name).join(","),
    generate: (request, signal) => inTurn(backends, request, signal),
  };
}

async function* inTurn(
  backends: readonly ZonedGenerator<Zone>[],
  request: GenerationRequest,
  signal: AbortSignal,
): AsyncGenerator<GenerationEvent> {
  let failure: unknown;
  for (const backend of backends) {
    let begun = false;
    try {
      for await (const event of backend.generate(request, signal)) {
        begun = true;
        yield event;
      }
      return;
    } catch (error) {
      const elsewhere = error instanceof WeirError && ELSEWHERE.has(error.code);
      if (begun || signal.aborted || !elsewhere) throw error;
      failure = error;
    }
  }
  throw failure;
}
