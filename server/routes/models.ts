/** GET /v1/models, GET /v1/models/{id}, POST /tokenize, POST /detokenize */
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { tokenId } from "../../engine/core/brand.ts";
import { WeirError } from "../../engine/core/errors.ts";
import type { ModelCard } from "../../engine/core/model.ts";
import { CHARACTERS_PER_TOKEN_MAX } from "../../engine/core/request.ts";
import { modelBody, remoteModelBody } from "../openai-shape.ts";
import type { GatewayPorts } from "../ports.ts";
import { errorResponses, modelListResponse, modelResponse } from "../schema/answers.ts";
import { detokenizeBody, detokenizeResponse, tokenizeBody, tokenizeResponse } from "../schema/tokenize.ts";
import { findModel } from "./requests.ts";
import { countRequest } from "./spending.ts";

export function modelRoutes(
  app: FastifyInstance,
  { models, routing, clock }: Pick<GatewayPorts, "models" | "routing" | "clock">,
): void {
  const routes = app.withTypeProvider<ZodTypeProvider>();
  // When another server made its models is not known: they are as old as this one's knowledge of them.
  const since = Math.floor(clock.wall() / 1000);
  routes.get(
    "/v1/models",
    { schema: { summary: "List the models", tags: ["openai"], response: { 200: modelListResponse } } },
    () => ({
      object: "list" as const,
      data: [
        ...models.list().map(modelBody),
        ...routing.remoteModels().map((model) => remoteModelBody(model, since)),
      ],
    }),
  );
  routes.get(
    "/v1/models/*",
    {
      schema: {
        summary: "Describe a model",
        tags: ["openai"],
        params: z.object({ "*": z.string().describe("The model's id; it may contain slashes.") }),
        response: { 200: modelResponse, ...errorResponses },
      },
    },
    (request) => {
      const id = request.params["*"];
      const remote = routing.remoteModels().find((model) => model.id === id);
      return remote !== undefined && models.find(id) === undefined
        ? remoteModelBody(remote, since)
        : modelBody(findModel(models, id));
    },
  );
}

export function tokenizerRoutes(
  app: FastifyInstance,
  { models, limits }: Pick<GatewayPorts, "models" | "limits">,
): void {
  const preHandler = countRequest({ limits });
  const routes = app.withTypeProvider<ZodTypeProvider>();
  const named = (model: string | undefined) => findModel(models, model ?? models.list()[0]?.name ?? "");
  routes.post(
    "/tokenize",
    {
      preHandler,
      schema: {
        summary: "Text to token ids",
        tags: ["tokens"],
        body: tokenizeBody,
        response: { 200: tokenizeResponse, ...errorResponses },
      },
    },
    async (request) => {
      const { model, prompt, content, add_special_tokens, add_special } = request.body;
      const text = prompt ?? content;
      if (text === undefined) {
        throw new WeirError("invalid_request", "Missing required parameter: 'prompt'.", { param: "prompt" });
      }
      const card = named(model);
      checkLength(text, card, prompt === undefined ? "content" : "prompt");
      const tokens = await models.tokenize(card.name, text, add_special_tokens ?? add_special ?? true);
      return { tokens: [...tokens], count: tokens.length, max_model_len: card.contextLength };
    },
  );
  routes.post(
    "/detokenize",
    {
      preHandler,
      schema: {
        summary: "Token ids to text",
        tags: ["tokens"],
        body: detokenizeBody,
        response: { 200: detokenizeResponse, ...errorResponses },
      },
    },
    async (request) => {
      const card = named(request.body.model);
      checkCount(request.body.tokens.length, card);
      const wrong = request.body.tokens.findIndex((id) => id >= card.geometry.vocabSize);
      if (wrong >= 0) {
        const why = `not a token of '${card.name}', whose ids are 0 to ${card.geometry.vocabSize - 1}`;
        throw new WeirError("invalid_request", `Invalid value for 'tokens.${wrong}': ${why}.`, {
          param: `tokens.${wrong}`,
        });
      }
      const text = await models.detokenize(card.name, request.body.tokens.map(tokenId));
      return { prompt: text, content: text };
    },
  );
}

/** As many as a text that /tokenize takes can have. */
function checkCount(tokens: number, card: ModelCard): void {
  const tokensMax = CHARACTERS_PER_TOKEN_MAX * card.contextLength;
  if (tokens <= tokensMax) return;
  const why = `there are ${tokens} tokens, '${card.name}' takes ${tokensMax} at once; send them in parts`;
  throw new WeirError("invalid_request", `Invalid value for 'tokens': ${why}.`, { param: "tokens" });
}

function checkLength(text: string, card: ModelCard, param: string): void {
  const charactersMax = CHARACTERS_PER_TOKEN_MAX * card.contextLength;
  if (text.length <= charactersMax) return;
  const why = `it has ${text.length} characters, '${card.name}' takes ${charactersMax} at once (${CHARACTERS_PER_TOKEN_MAX} for each token of its context); send it in parts`;
  throw new WeirError("invalid_request", `Invalid value for '${param}': ${why}.`, { param });
}
