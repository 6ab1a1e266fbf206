import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type SseEvent, SseReader, SseTooLong } from "../../engine/cloud/sse-reader.ts";

const bounds = { eventCharactersMax: 100_000 };

function read(text: string | Uint8Array, cuts: readonly number[] = []): readonly SseEvent[] {
  const bytes = typeof text === "string" ? Buffer.from(text) : text;
  const reader = new SseReader(bounds);
  const places = [0, ...[...cuts].sort((a, b) => a - b), bytes.length];
  return places.slice(1).flatMap((end, index) => reader.push(bytes.subarray(places[index], end)));
}

/** Pieces that make trouble at a cut: line ends, colons, characters of one to four bytes, a byte order mark. */
const piece = fc.constantFrom(
  ...[
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    "data:",
    "data: ",
    "event: x",
    "id: 1",
    ":",
    ": note",
    " ",
    "a",
    "é",
    "人",
    "🌊",
    "\uFEFF",
  ],
);
const stream = fc.array(piece, { maxLength: 40 }).map((pieces) => pieces.join(""));

describe("the reader of server-sent events", () => {
  test("gives the same events wherever the bytes are cut", () => {
    fc.assert(
      fc.property(stream, fc.array(fc.nat(200), { maxLength: 12 }), (text, cuts) => {
        const length = Buffer.byteLength(text);
        expect(
          read(
            text,
            cuts.map((cut) => Math.min(cut, length)),
          ),
        ).toEqual(read(text));
      }),
      { numRuns: 2000 },
    );
  });

  test("gives the same events for single bytes", () => {
    fc.assert(
      fc.property(stream, (text) => {
        const length = Buffer.byteLength(text);
        expect(
          read(
            text,
            Array.from({ length }, (_, index) => index),
          ),
        ).toEqual(read(text));
      }),
      { numRuns: 500 },
    );
  });

  test("gives back what was written, with any of the three line ends", () => {
    const line = fc.string({ unit: "grapheme", maxLength: 20 }).map((text) => text.replace(/[\r\n]/g, ""));
    const event = fc.record({
      type: fc.constantFrom("message", "content_block_delta", "error"),
      data: fc.array(line, { minLength: 1, maxLength: 4 }),
    });
    fc.assert(
      fc.property(
        fc.array(event, { maxLength: 8 }),
        fc.constantFrom("\n", "\r", "\r\n"),
        fc.array(fc.nat(400), { maxLength: 6 }),
        (events, end, cuts) => {
          const text = events
            .map(({ type, data }) =>
              [`event: ${type}`, ...data.map((each) => `data: ${each}`), "", ""].join(end),
            )
            .join("");
          const length = Buffer.byteLength(text);
          const wanted = events.map(({ type, data }) => ({ type, data: data.join("\n") }));
          expect(
            read(
              text,
              cuts.map((cut) => Math.min(cut, length)),
            ),
          ).toEqual(wanted);
        },
      ),
      { numRuns: 1000 },
    );
  });

  test("reads what the standard says of odd lines", () => {
    expect(read("data\n\n")).toEqual([{ type: "message", data: "" }]);
    expect(read("data:a\ndata:  b\n\n")).toEqual([{ type: "message", data: "a\n b" }]);
    expect(read("event: x\n\ndata: a\n\n")).toEqual([{ type: "message", data: "a" }]);
    expect(read(": note\nid: 1\nretry: 5\nother: x\ndata: a\n\n")).toEqual([{ type: "message", data: "a" }]);
    expect(read("\uFEFFdata: a\n\n")).toEqual([{ type: "message", data: "a" }]);
    expect(read("data: not ended\n")).toEqual([]);
  });

  test("reads bytes that are no UTF-8 as replacement characters", () => {
    const bytes = Buffer.concat([Buffer.from("data: "), Buffer.from([0xff, 0xc3]), Buffer.from("\n\n")]);
    expect(read(bytes)).toEqual([{ type: "message", data: "\uFFFD\uFFFD" }]);
  });

  test("refuses a line and an event that are longer than allowed, and takes those that are just as long", () => {
    const small = { eventCharactersMax: 20 };
    const push = (text: string) => new SseReader(small).push(Buffer.from(text));
    expect(() => push("x".repeat(21))).toThrow(SseTooLong);
    expect(() => push("data: 6789012345\n".repeat(2))).toThrow(SseTooLong);
    expect(push(`data:${"x".repeat(15)}\n\n`)).toHaveLength(1);
    const slow = new SseReader(small);
    expect(() => {
      for (let index = 0; index < 30; index += 1) slow.push(Buffer.from("x"));
    }).toThrow(SseTooLong);
  });

  test("takes time in proportion to the bytes, also byte by byte in one long line", () => {
    const time = (count: number): number => {
      const reader = new SseReader({ eventCharactersMax: 10_000_000 });
      const byte = Buffer.from("x");
      const from = performance.now();
      for (let index = 0; index < count; index += 1) reader.push(byte);
      reader.push(Buffer.from("\n\n"));
      return performance.now() - from;
    };
    time(20_000);
    const short = Math.min(time(20_000), time(20_000), time(20_000));
    // Quadratic work would take 64 times as long.
    expect(Math.min(time(160_000), time(160_000)) / short).toBeLessThan(24);
  });
});
