/** The body of an answer as pieces: bytes to events, events to what the vendor means by them. */
import type { Readable } from "node:stream";
import { ShapeError } from "./providers/parts.ts";
import type { AnswerReader, Piece } from "./providers/provider.ts";
import { SseReader } from "./sse-reader.ts";

export interface StreamBounds {
  readonly answerBytesMax: number;
  readonly eventCharactersMax: number;
}

/** How long the rest of a body may take to come behind the vendor's last word, in ms. */
const DRAIN_MS = 1000;

/**
 * Ends with the body, or behind the vendor's last word; then what is left of the body is read in the background, so that
 * the connection can be used again. Leaving it before closes the connection.
 */
export async function* readPieces(
  body: Readable,
  read: AnswerReader,
  bounds: StreamBounds,
): AsyncGenerator<Piece> {
  const reader = new SseReader(bounds);
  let bytes = 0;
  let complete = false;
  try {
    for await (const part of body.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      bytes += part.byteLength;
      if (bytes > bounds.answerBytesMax) {
        throw new ShapeError(`more than ${bounds.answerBytesMax} bytes`);
      }
      for (const event of reader.push(part)) {
        for (const piece of read(event)) {
          if (piece.kind === "end") {
            complete = true;
            return;
          }
          yield piece;
        }
      }
    }
  } finally {
    if (complete) drain(body);
    else body.destroy();
  }
}

function drain(body: Readable): void {
  const timer = setTimeout(() => body.destroy(), DRAIN_MS);
  body.once("close", () => clearTimeout(timer));
  body.resume();
}

/** The beginning of a body, as text. */
export async function readStart(body: Readable, bytesMax: number): Promise<string> {
  const parts: Buffer[] = [];
  let left = bytesMax;
  for await (const part of body as AsyncIterable<Buffer>) {
    parts.push(part.subarray(0, left));
    left -= part.byteLength;
    if (left <= 0) break;
  }
  body.destroy();
  return Buffer.concat(parts).toString("utf8");
}
