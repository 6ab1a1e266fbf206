/** How the choices of a request become an HTTP answer: streamed as they come, or collected and sent whole. */
import type { FastifyReply, FastifyRequest } from "fastify";
import { asWeirError } from "../../engine/core/errors.ts";
import type { FinishReason, Generator, TokenLogprob, Usage } from "../../engine/core/generator.ts";
import type { GenerationRequest } from "../../engine/core/request.ts";
import { errorEvent } from "../openai-shape.ts";
import { type ChunkWriter, DONE } from "../openai-stream.ts";
import { warnOfTools } from "../plugins/ignored.ts";
import type { GatewayMetrics, GatewayOptions } from "../ports.ts";
import { EventStream } from "../sse.ts";
import { type AnswerEvent, type ChoiceSink, runChoices, sumUsage } from "./generate.ts";
import { nameBackend, type RoutingPorts } from "./routing.ts";

export interface AnswerPorts extends RoutingPorts {
  /** The measured generator. */
  readonly generator: Generator;
  readonly metrics: GatewayMetrics;
}

/** Aborts when the client's connection closes before the answer is complete: while queued, computing or streaming. */
function untilClientLeaves(request: FastifyRequest, reply: FastifyReply): AbortController {
  const controller = new AbortController();
  reply.raw.once("close", () => {
    if (!reply.raw.writableFinished) controller.abort();
  });
  if (request.raw.socket.destroyed) controller.abort();
  return controller;
}

/** Headers leave once all choices are admitted, so that refusals still come as plain JSON with their status. */
export async function streamAnswer(
  http: { readonly request: FastifyRequest; readonly reply: FastifyReply },
  ports: AnswerPorts,
  options: Pick<GatewayOptions, "streamKeepAliveMs" | "stalledClientTimeoutMs">,
  work: {
    readonly requests: readonly GenerationRequest[];
    readonly choicesPerPrompt: number;
    readonly chunks: ChunkWriter;
  },
): Promise<FastifyReply> {
  const { request, reply } = http;
  const { requests, chunks } = work;
  const controller = untilClientLeaves(request, reply);
  let stream: EventStream | undefined;
  const sink: ChoiceSink = {
    started(toolsIgnored) {
      if (toolsIgnored) warnOfTools(request, reply);
      nameBackend(reply, ports, requests);
      reply.hijack();
      stream = new EventStream(reply.raw, reply.getHeaders() as Record<string, string>, {
        keepAliveMs: options.streamKeepAliveMs,
        stalledMs: options.stalledClientTimeoutMs,
      });
      ports.metrics.streamOpened();
      for (const { choice } of requests) stream.send(chunks.opening(choice));
    },
    event(choice, event) {
      const text = chunks.event(choice, event);
      if (text !== "") stream?.send(text);
    },
    room: () => stream?.room(),
  };
  try {
    const usages = await runChoices(ports.generator, requests, controller, sink);
    stream?.end(chunks.usage(sumUsage(usages, work.choicesPerPrompt)) + DONE);
  } catch (thrown) {
    if (stream === undefined) {
      nameBackend(reply, ports, requests);
      throw thrown;
    }
    const error = asWeirError(thrown);
    ports.metrics.failed(error);
    if (error.code === "internal") request.log.error({ err: error.cause ?? error }, "a stream failed");
    stream.end(errorEvent(error));
  } finally {
    if (stream !== undefined) ports.metrics.streamClosed();
  }
  return reply;
}

export interface CollectedChoice {
  text: string;
  tokens: number[];
  logprobs: TokenLogprob[];
  /** By the calls' indices. */
  toolCalls: { readonly id: string; readonly name: string; arguments: string }[];
  reason: FinishReason;
  prompt: Extract<AnswerEvent, { kind: "prompt" }> | undefined;
}

export async function collectAnswer(
  http: { readonly request: FastifyRequest; readonly reply: FastifyReply },
  ports: AnswerPorts,
  requests: readonly GenerationRequest[],
): Promise<{ readonly choices: readonly CollectedChoice[]; readonly usages: readonly Usage[] }> {
  const choices = requests.map(
    (): CollectedChoice => ({
      text: "",
      tokens: [],
      logprobs: [],
      toolCalls: [],
      reason: "stop",
      prompt: undefined,
    }),
  );
  const controller = untilClientLeaves(http.request, http.reply);
  const sink: ChoiceSink = {
    started: (toolsIgnored) => {
      if (toolsIgnored) warnOfTools(http.request, http.reply);
    },
    event: (index, event) => collect(choices[index], event),
    room: () => undefined,
  };
  try {
    const usages = await runChoices(ports.generator, requests, controller, sink);
    return { choices, usages };
  } finally {
    nameBackend(http.reply, ports, requests);
  }
}

function collect(choice: CollectedChoice | undefined, event: AnswerEvent): void {
  if (choice === undefined) return;
  switch (event.kind) {
    case "prompt":
      choice.prompt = event;
      return;
    case "text":
      choice.text += event.text;
      for (const token of event.tokens) choice.tokens.push(token);
      for (const logprob of event.logprobs) choice.logprobs.push(logprob);
      return;
    case "tool_call": {
      const call = choice.toolCalls[event.index];
      if (call !== undefined) call.arguments += event.arguments;
      else choice.toolCalls[event.index] = { id: "", name: "", ...event.opening, arguments: event.arguments };
      return;
    }
    case "finished":
      choice.reason = event.reason;
  }
}
