/** The port of the topic model: what a text is about, where no single word or number gives it away. */
import type { TextPart } from "./walk.ts";

export type Topic = "hr" | "private" | "chat-log" | "public";

export interface TopicVote {
  readonly topic: Topic;
  /** 0..1: how sure the model is. */
  readonly score: number;
  /** JSON Pointer (RFC 6901) into the request body. */
  readonly where: string;
}

export interface TopicModel {
  votes(parts: readonly TextPart[]): readonly TopicVote[];
}
