/**
 * Parameters that nobody here knows, or that have no effect on this model, are ignored, but not in silence: the answer has
 * a `warning` header that names them.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { ZodObject } from "zod";
import { WeirError } from "../../engine/core/errors.ts";
import { isQuiet, unsupportedParameter } from "../schema/fields.ts";
import { unknownParameters } from "../schema/parse.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Of its body: parameters that the warning names, and those that count only where its tools do. */
    parameters: { readonly ignored: readonly string[]; readonly ofTools: readonly string[] } | null;
  }
}

/** `parallel_tool_calls` is ignored in any case. */
const TOOL_PARAMETERS = ["tools", "tool_choice"];
const NAMES_MAX = 10;
const NAME_CHARACTERS_MAX = 40;

/** Before validation, which drops what it does not know. */
export function warnOfIgnored(app: FastifyInstance): void {
  app.decorateRequest("parameters", null);
  app.addHook("preValidation", (request, reply, done) => {
    const schema = request.routeOptions.schema?.body;
    if (!(schema instanceof ZodObject) || typeof request.body !== "object" || request.body === null) {
      done();
      return;
    }
    const unsupported = unsupportedParameter(request.body);
    if (unsupported !== undefined) {
      const { param, why } = unsupported;
      done(new WeirError("invalid_request", `Unsupported parameter: '${param}': ${why}.`, { param }));
      return;
    }
    const { body } = request;
    const ignored = unknownParameters(schema, body, isQuiet);
    const ofTools = Object.entries(body).flatMap(([name, value]) =>
      TOOL_PARAMETERS.includes(name) && value !== null ? [name] : [],
    );
    request.parameters = { ignored, ofTools };
    if (ignored.length > 0) reply.header("warning", warningHeader(ignored));
    done();
  });
}

/** The model's chat template takes no notice of tools: those are named with the other parameters that have no effect. */
export function warnOfTools({ parameters }: FastifyRequest, reply: FastifyReply): void {
  if (parameters === null) return;
  reply.header("warning", warningHeader([...parameters.ofTools, ...parameters.ignored]));
}

export function warningHeader(names: readonly string[]): string {
  const shown = names
    .slice(0, NAMES_MAX)
    .map((name) => name.slice(0, NAME_CHARACTERS_MAX).replace(/[^\w.-]/g, "?"));
  const more = names.length > NAMES_MAX ? `, and ${names.length - NAMES_MAX} more` : "";
  return `299 weir "ignored parameters: ${shown.join(", ")}${more}"`;
}
