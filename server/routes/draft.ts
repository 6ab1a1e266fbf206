/** A body as what a backend would be asked, before it is known which one: only its text matters. */
import type { GenerationRequest } from "../../engine/core/request.ts";
import type { GatewayOptions } from "../ports.ts";
import { chatBody } from "../schema/chat.ts";
import { completionBody } from "../schema/completions.ts";
import { parseBody } from "../schema/parse.ts";
import { chatRequests, completionRequests, type ModelTarget } from "./requests.ts";

/** A model of which nothing is known, for the text of a request alone. */
export const ANY_MODEL: ModelTarget = { name: "any", card: undefined };

export type DraftBounds = Pick<
  GatewayOptions,
  "choicesMax" | "messagesMax" | "promptsMax" | "generationsMax"
>;

/** Reads chat and completion bodies; throws the WeirError that their endpoints would answer with. */
export function drafter(bounds: DraftBounds): (body: object) => readonly GenerationRequest[] {
  const bodies = { chat: chatBody(bounds), completion: completionBody(bounds) };
  const context = { id: "draft", randomSeed: () => 0, generationsMax: bounds.generationsMax };
  return (body) =>
    "messages" in body
      ? chatRequests(parseBody(bodies.chat, body), ANY_MODEL, context)
      : completionRequests(parseBody(bodies.completion, body), ANY_MODEL, context);
}
