/** POST /v1/completions */
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import {
  type CompletionChoice,
  characters,
  completionAnswer,
  legacyLogprobs,
  legacyPromptLogprobs,
  legacyReason,
} from "../openai-shape.ts";
import { completionChunks } from "../openai-stream.ts";
import type { GatewayOptions, GatewayPorts } from "../ports.ts";
import { completionResponse, errorResponses } from "../schema/answers.ts";
import { type CompletionBody, completionBody } from "../schema/completions.ts";
import { type AnswerPorts, type CollectedChoice, collectAnswer, streamAnswer } from "./answers.ts";
import { sumUsage } from "./generate.ts";
import { completionRequests, readStreamOptions } from "./requests.ts";
import { routeRequest } from "./routing.ts";
import { spend } from "./spending.ts";

export function completionsRoute(
  app: FastifyInstance,
  ports: Pick<GatewayPorts, "clock" | "limits" | "randomSeed"> & AnswerPorts,
  options: GatewayOptions,
): void {
  const body = completionBody(options);
  const schema = {
    summary: "Continue a text",
    tags: ["openai"],
    body,
    response: { 200: completionResponse, ...errorResponses },
  };
  app.withTypeProvider<ZodTypeProvider>().post("/v1/completions", { schema }, async (request, reply) => {
    const asked = request.body;
    using spending = spend({ request, reply }, ports, {
      prompts: asked.prompt.length,
      n: asked.n,
      maxTokens: asked.max_tokens,
    });
    const counted = { ...ports, generator: spending.watch(ports.generator) };
    const context = { id: request.id, randomSeed: ports.randomSeed, generationsMax: options.generationsMax };
    const { decision, target } = await routeRequest({ request, reply }, ports, (model) =>
      completionRequests(asked, model, context),
    );
    const requests = completionRequests(asked, target, context);
    ports.routing.bind(requests, decision);
    const created = Math.floor(ports.clock.wall() / 1000);
    const head = { id: `cmpl-${request.id}`, created, model: target.name };
    const { includeUsage } = readStreamOptions(asked);
    if (asked.stream) {
      const chunks = completionChunks(head, {
        includeUsage,
        logprobs: asked.logprobs !== undefined,
        tokenIds: asked.return_token_ids,
        echo: asked.echo,
      });
      return await streamAnswer({ request, reply }, counted, options, {
        requests,
        choicesPerPrompt: asked.n,
        chunks,
      });
    }
    const { choices, usages } = await collectAnswer({ request, reply }, counted, requests);
    return reply.send(completionAnswer(head, choices.map(shape(asked)), sumUsage(usages, asked.n)) as never);
  });
}

const shape =
  (asked: CompletionBody) =>
  (choice: CollectedChoice, index: number): CompletionChoice => {
    const before = asked.echo ? (choice.prompt?.text ?? "") : "";
    return {
      index,
      text: before + choice.text,
      logprobs: asked.logprobs === undefined ? null : wholeLogprobs(choice, before),
      finish_reason: legacyReason(choice.reason),
      ...(asked.return_token_ids
        ? { token_ids: choice.tokens, prompt_token_ids: choice.prompt?.tokens ?? [] }
        : {}),
    };
  };

function wholeLogprobs(choice: CollectedChoice, before: string) {
  const prompt = legacyPromptLogprobs(before, before === "" ? [] : (choice.prompt?.logprobs ?? []));
  const answer = legacyLogprobs(choice.logprobs, characters(before));
  return {
    tokens: [...prompt.tokens, ...answer.tokens],
    token_logprobs: [...prompt.token_logprobs, ...answer.token_logprobs],
    top_logprobs: [...prompt.top_logprobs, ...answer.top_logprobs],
    text_offset: [...prompt.text_offset, ...answer.text_offset],
  };
}
