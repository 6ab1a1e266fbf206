/** POST /v1/chat/completions */
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { type ChatChoice, chatAnswer, chatLogprob } from "../openai-shape.ts";
import { chatChunks } from "../openai-stream.ts";
import type { GatewayOptions, GatewayPorts } from "../ports.ts";
import { chatResponse, errorResponses } from "../schema/answers.ts";
import { type ChatBody, chatBody } from "../schema/chat.ts";
import { type AnswerPorts, type CollectedChoice, collectAnswer, streamAnswer } from "./answers.ts";
import { sumUsage } from "./generate.ts";
import { chatRequests, readStreamOptions } from "./requests.ts";
import { routeRequest } from "./routing.ts";
import { spend } from "./spending.ts";

export function chatRoute(
  app: FastifyInstance,
  ports: Pick<GatewayPorts, "clock" | "limits" | "randomSeed"> & AnswerPorts,
  options: GatewayOptions,
): void {
  const body = chatBody(options);
  const schema = {
    summary: "Answer a conversation",
    tags: ["openai"],
    body,
    response: { 200: chatResponse, ...errorResponses },
  };
  app.withTypeProvider<ZodTypeProvider>().post("/v1/chat/completions", { schema }, async (request, reply) => {
    const asked = request.body;
    using spending = spend({ request, reply }, ports, {
      prompts: 1,
      n: asked.n,
      maxTokens: asked.max_completion_tokens ?? asked.max_tokens,
    });
    const counted = { ...ports, generator: spending.watch(ports.generator) };
    const context = { id: request.id, randomSeed: ports.randomSeed, generationsMax: options.generationsMax };
    const { decision, target } = await routeRequest({ request, reply }, ports, (model) =>
      chatRequests(asked, model, context),
    );
    const requests = chatRequests(asked, target, context);
    ports.routing.bind(requests, decision);
    const created = Math.floor(ports.clock.wall() / 1000);
    const head = { id: `chatcmpl-${request.id}`, created, model: target.name };
    const { includeUsage, obfuscate } = readStreamOptions(asked);
    if (asked.stream) {
      const chunks = chatChunks(head, {
        includeUsage,
        obfuscate,
        logprobs: asked.logprobs,
        tokenIds: asked.return_token_ids,
      });
      return await streamAnswer({ request, reply }, counted, options, {
        requests,
        choicesPerPrompt: asked.n,
        chunks,
      });
    }
    const { choices, usages } = await collectAnswer({ request, reply }, counted, requests);
    const promptTokenIds = asked.return_token_ids ? (choices[0]?.prompt?.tokens ?? []) : undefined;
    const answer = chatAnswer(head, choices.map(shape(asked)), sumUsage(usages, asked.n), promptTokenIds);
    return reply.send(answer as never);
  });
}

const shape =
  (asked: ChatBody) =>
  (choice: CollectedChoice, index: number): ChatChoice => ({
    index,
    message: messageOf(choice),
    logprobs: asked.logprobs ? { content: choice.logprobs.map(chatLogprob), refusal: null } : null,
    finish_reason: choice.reason,
    ...(asked.return_token_ids ? { token_ids: choice.tokens } : {}),
  });

function messageOf({ text, toolCalls }: CollectedChoice): ChatChoice["message"] {
  if (toolCalls.length === 0) return { role: "assistant", content: text, refusal: null };
  const calls = toolCalls.map(({ id, ...call }) => ({ id, type: "function" as const, function: call }));
  return { role: "assistant", content: text === "" ? null : text, refusal: null, tool_calls: calls };
}
