/** Requests to be pseudonymised, a backend that echoes, and what comes back of it. */
import type { GenerationEvent } from "../../engine/core/generator.ts";
import type { GenerationRequest, Prompt } from "../../engine/core/request.ts";
import type { Restorer } from "../../engine/routing/pseudonyms/restore.ts";
import { newRequest, PLAIN } from "./requests.ts";

export const requestOf = (prompt: Prompt | string, stop: readonly string[] = []): GenerationRequest =>
  newRequest({ prompt, stop, sampling: PLAIN });

/** The texts of a prompt that are prose. */
export function textsOf({ prompt }: GenerationRequest): readonly string[] {
  if (prompt.kind === "text") return [prompt.text];
  return prompt.kind === "chat" ? prompt.messages.map(({ content }) => content) : [];
}

export async function* events(list: readonly GenerationEvent[]): AsyncGenerator<GenerationEvent> {
  yield* list;
}

/** The text of an answer that a backend gave in these parts. */
export async function answerOf(restore: Restorer, parts: readonly string[]): Promise<string> {
  const given = parts.map((text): GenerationEvent => ({ kind: "text", text, tokens: [], logprobs: [] }));
  let told = "";
  for await (const event of restore(events(given))) if (event.kind === "text") told += event.text;
  return told;
}

export interface Call {
  readonly name: string;
  readonly arguments: string;
}

/** The calls of an answer, whole. */
export async function callsOf(answer: AsyncIterable<GenerationEvent>): Promise<readonly Call[]> {
  const calls: { name: string; arguments: string }[] = [];
  for await (const event of answer) {
    if (event.kind !== "tool_call") continue;
    if (event.opening !== undefined) calls[event.index] = { name: event.opening.name, arguments: "" };
    const call = calls[event.index];
    if (call === undefined) throw new Error("a part of a call that has not begun");
    call.arguments += event.arguments;
  }
  return calls;
}
