/** The end of the gateway: answers under way are delivered within a time, what is left is cut, the socket is closed. */
import type { ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { FastifyInstance } from "fastify";
import type { Clock } from "../engine/core/clock.ts";

export interface DrainOptions {
  readonly clock: Clock;
  /** How long answers may take to reach their clients, in ms. */
  readonly drainMs: number;
  /** Ends what is still computed then. */
  readonly endWork: () => Promise<void>;
}

/** How often a drain looks whether all answers are delivered, in ms. */
const POLL_MS = 20;
/** What answers that were cut have to say may take this long to leave, in ms. */
const LAST_WORDS_MS = 1_000;

/**
 * Counts requests from now on; the function that it returns drains. It is for the caller to refuse new work from then
 * on; connections are still taken, so that refusals reach their clients.
 */
export function drainer(
  app: FastifyInstance,
  { clock, drainMs, endWork }: DrainOptions,
): () => Promise<void> {
  const { server } = app;
  // Open until the last byte is handed over: also those that wait for a model to load, or whose reader is slow.
  let open = 0;
  server.on("request", (_request, response: ServerResponse) => {
    open += 1;
    response.once("close", () => {
      open -= 1;
    });
  });
  const delivered = async (ms: number): Promise<void> => {
    const deadline = clock.now() + ms;
    while (open > 0 && clock.now() < deadline) await sleep(POLL_MS);
  };
  return async () => {
    // Not closeIdleConnections: Node calls those idle, too, whose answer is written but has not left yet. Idle ones are
    // told `connection: close` with their next answer, and hold nothing up.
    await delivered(drainMs);
    await endWork();
    await delivered(LAST_WORDS_MS);
    // A client that does not read its answer would hold the door open.
    const closed = app.close();
    server.closeAllConnections();
    await closed;
  };
}
