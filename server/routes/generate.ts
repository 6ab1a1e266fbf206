/** Runs the choices of one HTTP request side by side: all start or none answers, and the first failure ends them all. */
import { assert } from "../../engine/core/assert.ts";
import { WeirError } from "../../engine/core/errors.ts";
import type { GenerationEvent, Generator, Usage } from "../../engine/core/generator.ts";
import type { GenerationRequest } from "../../engine/core/request.ts";

export type AnswerEvent = Exclude<GenerationEvent, { kind: "started" }>;

export interface ChoiceSink {
  /**
   * Once, when every choice is admitted: from here on a failure can no longer change the status. `toolsIgnored`: see
   * GenerationEvent.
   */
  started(toolsIgnored: boolean): void;
  event(choice: number, event: AnswerEvent): void;
  /** Undefined while the reader keeps up. */
  room(): Promise<void> | undefined;
}

/** Each choice's usage. Rejects with the first failure, after every choice has ended. */
export async function runChoices(
  generator: Generator,
  requests: readonly GenerationRequest[],
  controller: AbortController,
  sink: ChoiceSink,
): Promise<readonly Usage[]> {
  const { signal } = controller;
  const iterators: AsyncIterator<GenerationEvent>[] = [];
  const failures: unknown[] = [];
  const fail = (error: unknown): void => {
    failures.push(error);
    controller.abort();
  };
  const all = <T>(work: (iterator: AsyncIterator<GenerationEvent>, choice: number) => Promise<T>) =>
    Promise.all(iterators.map((iterator, choice) => work(iterator, choice).catch(fail)));
  try {
    for (const request of requests)
      iterators.push(generator.generate(request, signal)[Symbol.asyncIterator]());
    const ignored = await all((iterator) => admission(iterator, signal));
    if (failures.length === 0) {
      sink.started(ignored.includes(true));
      const usages = await all((iterator, choice) => pump(iterator, choice, sink, signal));
      if (failures.length === 0) return usages.filter((usage) => usage !== undefined);
    }
  } catch (error) {
    fail(error);
  } finally {
    await Promise.all(iterators.map((iterator) => iterator.return?.().catch(() => undefined)));
  }
  throw failures[0];
}

/** Whether the request's tools are ignored. */
async function admission(iterator: AsyncIterator<GenerationEvent>, signal: AbortSignal): Promise<boolean> {
  const first = await iterator.next();
  if (signal.aborted) throw cancelled();
  assert(!first.done && first.value.kind === "started", "a generation must begin with its started event");
  return first.value.toolsIgnored === true;
}

async function pump(
  iterator: AsyncIterator<GenerationEvent>,
  choice: number,
  sink: ChoiceSink,
  signal: AbortSignal,
): Promise<Usage> {
  for (;;) {
    const step = await iterator.next();
    if (signal.aborted) throw cancelled();
    assert(!step.done && step.value.kind !== "started", "a generation must go on to its finished event");
    sink.event(choice, step.value);
    if (step.value.kind === "finished") {
      // Lets the generators around the innermost one come to their own end, instead of being left.
      const end = await iterator.next();
      assert(end.done === true, "nothing may follow a finished event");
      return step.value.usage;
    }
    const room = sink.room();
    if (room !== undefined) await room;
  }
}

const cancelled = (): WeirError =>
  new WeirError("cancelled", "The client went away before the answer was complete.");

/** Every prompt counts once, however many choices it has; the cached tokens are those of its first choice. */
export function sumUsage(
  usages: readonly Usage[],
  choicesPerPrompt: number,
): Pick<Usage, "promptTokens" | "cachedTokens" | "completionTokens"> {
  const firsts = usages.filter((_, index) => index % choicesPerPrompt === 0);
  const sum = (of: readonly Usage[], pick: (usage: Usage) => number) =>
    of.reduce((total, usage) => total + pick(usage), 0);
  return {
    promptTokens: sum(firsts, (usage) => usage.promptTokens),
    cachedTokens: sum(firsts, (usage) => usage.cachedTokens),
    completionTokens: sum(usages, (usage) => usage.completionTokens),
  };
}
