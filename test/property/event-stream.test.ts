/** Any interleaving of a pushing engine and a reading client: nothing lost, nothing reordered, one ending. */
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { expect, test } from "vitest";
import { tokenId } from "../../engine/core/brand.ts";
import { WeirError } from "../../engine/core/errors.ts";
import type { GenerationEvent } from "../../engine/core/generator.ts";
import { EventStream } from "../../engine/local/event-stream.ts";

type Move = "text" | "started" | "read" | "breathe" | "abort" | "leave" | "end" | "fail";

/** What a reader sees, text events taken apart token by token: how they were merged does not matter. */
const flat = (events: readonly GenerationEvent[]): string[] =>
  events.flatMap((event) =>
    event.kind === "text" ? event.tokens.map((token) => `t${token}`) : [event.kind],
  );

test("a reader sees a prefix of what was pushed, all of it unless it went away, and one ending", async () => {
  const move = fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom<Move>("text", "text", "read", "breathe", "started") },
    { weight: 1, arbitrary: fc.constantFrom<Move>("abort", "leave", "end", "fail") },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(move, { maxLength: 40 }), async (moves) => {
      const controller = new AbortController();
      let abandoned = 0;
      const stream = new EventStream({
        signal: controller.signal,
        onAbandon: () => {
          abandoned += 1;
        },
      });
      const iterator = stream[Symbol.asyncIterator]();
      const pushed: GenerationEvent[] = [];
      const seen: GenerationEvent[] = [];
      const errors: unknown[] = [];
      const reads: Promise<void>[] = [];
      const read = (): void => {
        const keep = ({ done, value }: IteratorResult<GenerationEvent, undefined>): void => {
          if (done !== true) seen.push(value);
        };
        reads.push(iterator.next().then(keep, (error: unknown) => void errors.push(error)));
      };
      let ending: Move | undefined;
      const finish = (by: Move): void => {
        ending ??= by;
      };
      const act: Record<Move, () => unknown> = {
        text: () => {
          const id = tokenId(pushed.length);
          const event: GenerationEvent = { kind: "text", text: `${id}`, tokens: [id], logprobs: [] };
          if (ending === undefined) pushed.push(event);
          stream.push(event);
        },
        started: () => {
          const event: GenerationEvent = { kind: "started", promptTokens: 1 };
          if (ending === undefined) pushed.push(event);
          stream.push(event);
        },
        read,
        breathe: () => setImmediate(),
        abort: () => {
          finish("abort");
          controller.abort();
        },
        leave: () => {
          finish("leave");
          return iterator.return?.();
        },
        end: () => {
          finish("end");
          stream.end();
        },
        fail: () => {
          finish("fail");
          stream.fail(new WeirError("internal", "for the test"));
        },
      };
      for (const each of moves) await act[each]();
      finish("end");
      stream.end();
      for (let i = 0; i <= pushed.length + 1; i += 1) read();
      await Promise.all(reads);

      expect(flat(pushed).slice(0, flat(seen).length)).toEqual(flat(seen));
      const left = ending === "abort" || ending === "leave";
      expect(abandoned).toBe(left ? 1 : 0);
      if (!left && !moves.includes("leave")) expect(flat(seen)).toEqual(flat(pushed));
      // One ending, and an error only where one is due; a reader who leaves may miss it.
      const due = ending === "abort" || ending === "fail" ? 1 : 0;
      expect(errors.length).toBeLessThanOrEqual(due);
      if (!moves.includes("leave")) expect(errors.length).toBe(due);
    }),
    { numRuns: 1000 },
  );
});
