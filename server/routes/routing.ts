/** Between HTTP and the router: headers to a question, a decision to headers, a refusal to an error. */
import type { FastifyReply, FastifyRequest } from "fastify";
import { assert } from "../../engine/core/assert.ts";
import { WeirError } from "../../engine/core/errors.ts";
import type { ModelDirectory } from "../../engine/core/generator.ts";
import type { GenerationRequest } from "../../engine/core/request.ts";
import type { Caller, Decision, Question, Refusal, Verdict } from "../../engine/core/route.ts";
import type { GatewayPorts, Principal, Routing } from "../ports.ts";
import { ANY_MODEL } from "./draft.ts";
import { findModel, type ModelTarget } from "./requests.ts";

export interface RoutingPorts {
  readonly routing: Routing;
  readonly models: ModelDirectory;
}

export interface Routed {
  readonly decision: Decision;
  readonly target: ModelTarget;
}

/** Decides where a request runs, and says so in the answer's headers. Throws the refusal where it runs nowhere. */
export async function routeRequest(
  { request, reply }: { readonly request: FastifyRequest; readonly reply: FastifyReply },
  { routing, models, metrics, clock }: RoutingPorts & Pick<GatewayPorts, "metrics" | "clock">,
  draft: (target: ModelTarget) => readonly GenerationRequest[],
): Promise<Routed> {
  const askedAt = clock.now();
  const decision = await routing.decide(
    questionOf(request, () => draft(ANY_MODEL)),
    request.id,
  );
  const { route, targets, receipt } = decision;
  const { class: dataClass, zone, action } = route;
  metrics.routed({ class: dataClass, zone, action, elapsedMs: clock.now() - askedAt });
  reply.header("x-weir-class", route.class);
  reply.header("x-weir-zone", route.zone);
  reply.header("x-weir-receipt", receipt);
  if (route.action === "refuse")
    throw refusalOf(decision, route.why, () => notFound(request.received.body, models));
  const [first] = targets;
  assert(first !== undefined, "a route that serves has a target");
  reply.header("x-weir-backend", first.backend);
  const card = first.backend === "local" ? models.find(first.model) : undefined;
  const name = card === undefined ? `${first.backend}/${first.model}` : card.name;
  return { decision, target: { name, card } };
}

/**
 * Who answers is only known when it does: the first backend may have failed, or the cloud's door refused. Also for requests
 * that failed: the receipt is then the last decision's. Where one choice left the house, the request did.
 */
export function nameBackend(
  reply: FastifyReply,
  { routing }: RoutingPorts,
  requests: readonly GenerationRequest[],
): void {
  const outcomes = requests.map((request) => routing.outcome(request)).filter((each) => each !== undefined);
  const widest = outcomes.find(({ decision }) => decision.route.zone === "cloud") ?? outcomes[0];
  if (widest === undefined) return;
  const { backend, decision } = widest;
  if (backend !== undefined) reply.header("x-weir-backend", backend);
  else if (decision.route.action === "refuse") reply.removeHeader("x-weir-backend");
  reply.header("x-weir-zone", decision.route.zone);
  reply.header("x-weir-receipt", decision.receipt);
}

export function questionOf(request: FastifyRequest, draft: Question["draft"]): Question {
  const { principal, received } = request;
  assert(principal !== null, "a request is routed for somebody");
  return {
    caller: callerOf(principal),
    label: headerOf(request, "x-weir-class"),
    source: headerOf(request, "x-weir-source"),
    agent: headerOf(request, "x-weir-agent"),
    body: received.body,
    bytes: received.bytes,
    draft,
  };
}

const callerOf = ({ id, name, policy, classFloor, models }: Principal): Caller => ({
  // As the limits tell keys apart: a key without an id may be named like another one's id.
  id: id === undefined ? `name ${name}` : `id ${id}`,
  name,
  policy,
  classFloor,
  models,
});

/** A header that was sent twice comes as one text, which no label or name is: it counts as unknown. */
function headerOf(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(", ") : value;
}

function refusalOf({ route, evidence }: Verdict, why: Refusal, unknownModel: () => WeirError): WeirError {
  switch (why) {
    case "private_data": {
      const rules = [
        ...new Set(evidence.filter((vote) => vote.class === route.class).map(({ rule }) => rule)),
      ];
      return new WeirError(
        "private_data",
        `This request holds ${route.class} data (${rules.slice(0, 8).join(", ")}), which may not go to a cloud model. ` +
          "Send it with model 'auto' or a local one; POST /v1/route/explain says where each rule applies.",
        { param: "model" },
      );
    }
    case "model_not_allowed":
      return new WeirError(
        "model_not_allowed",
        "This key, or its agent, may not use that model for such data; ask the server's operator, or send another one.",
        { param: "model" },
      );
    case "model_not_found":
      return unknownModel();
    case "onprem_unavailable":
      return new WeirError(
        "onprem_unavailable",
        "No backend of the house answers, and this request is sent nowhere else. Try again later.",
        { retryAfterMs: UNAVAILABLE_RETRY_MS },
      );
    case "cloud_unavailable":
      return new WeirError("cloud_unavailable", "The cloud does not answer now; try again later.", {
        retryAfterMs: UNAVAILABLE_RETRY_MS,
      });
  }
}

const UNAVAILABLE_RETRY_MS = 5000;

function notFound(body: unknown, models: ModelDirectory): WeirError {
  const { model } = body as { readonly model?: unknown };
  try {
    findModel(models, typeof model === "string" ? model : "auto");
  } catch (error) {
    if (error instanceof WeirError) return error;
  }
  return new WeirError("model_not_found", "There is no such model; see GET /v1/models.", { param: "model" });
}
