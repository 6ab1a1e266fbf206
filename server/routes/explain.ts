/** POST /v1/route/explain: where a request would run, and why. Nothing is generated, and nothing changes. */
import type { FastifyInstance } from "fastify";
import { WeirError } from "../../engine/core/errors.ts";
import type { Explanation } from "../../engine/core/route.ts";
import type { GatewayOptions, GatewayPorts } from "../ports.ts";
import { errorResponses, explainResponse } from "../schema/answers.ts";
import { drafter } from "./draft.ts";
import { questionOf } from "./routing.ts";
import { countRequest } from "./spending.ts";

export function explainRoute(app: FastifyInstance, ports: GatewayPorts, options: GatewayOptions): void {
  const draft = drafter(options);
  const schema = {
    summary: "Say where a request would run, and why",
    description:
      "Takes a chat or completion body and the headers x-weir-class, x-weir-source and x-weir-agent. Nothing is generated, " +
      "no conversation is remembered, and no text of the request stands in the answer.",
    tags: ["routing"],
    response: { 200: explainResponse, ...errorResponses },
  };
  app.post(
    "/v1/route/explain",
    { schema, preHandler: countRequest(ports) },
    async (request): Promise<Explanation> => {
      const { body } = request.received;
      if (typeof body !== "object" || body === null || Array.isArray(body)) {
        throw new WeirError(
          "invalid_request",
          'The request body must be a chat or completion as a JSON object, such as {"messages": [...]}.',
        );
      }
      const question = questionOf(request, () => draft(body));
      const { route, targets, evidence, policy, confidence } = await ports.routing.judge(question);
      const { class: dataClass, zone, action } = route;
      const backend = targets[0]?.backend ?? null;
      return { class: dataClass, zone, action, backend, evidence, policy, confidence };
    },
  );
}
