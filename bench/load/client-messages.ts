/** What the bench and the process with its clients tell each other. */
import type { ChatMessage } from "../../engine/core/request.ts";

export interface LoadTask {
  readonly port: number;
  readonly model: string;
  /** One list a client: it sends its conversations one after the other, each when the last is answered. */
  readonly clients: readonly (readonly (readonly ChatMessage[])[])[];
  readonly maxTokens: number;
}

export type LoadReport =
  | {
      readonly kind: "done";
      /** From the first request to the end of the last answer. */
      readonly seconds: number;
      readonly promptTokens: number;
      readonly answerTokens: number;
      /** Time to the first bytes of text of each answer. */
      readonly firstTextMs: readonly number[];
      /** Processor time that the clients took. */
      readonly clientSeconds: number;
    }
  | { readonly kind: "failed"; readonly message: string };
