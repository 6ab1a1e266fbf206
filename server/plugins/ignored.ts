/** Parameters that nobody here knows are ignored, but not in silence: the answer has a `warning` header that names them. */
import type { FastifyInstance } from "fastify";
import { ZodObject } from "zod";
import { WeirError } from "../../engine/core/errors.ts";
import { QUIET_PARAMETERS, unsupportedParameter } from "../schema/fields.ts";
import { unknownParameters } from "../schema/parse.ts";

const NAMES_MAX = 10;
const NAME_CHARACTERS_MAX = 40;

/** Before validation, which drops what it does not know. */
export function warnOfIgnored(app: FastifyInstance): void {
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
    const names = unknownParameters(schema, request.body, QUIET_PARAMETERS);
    if (names.length > 0) reply.header("warning", warningHeader(names));
    done();
  });
}

export function warningHeader(names: readonly string[]): string {
  const shown = names
    .slice(0, NAMES_MAX)
    .map((name) => name.slice(0, NAME_CHARACTERS_MAX).replace(/[^\w.-]/g, "?"));
  const more = names.length > NAMES_MAX ? `, and ${names.length - NAMES_MAX} more` : "";
  return `299 weir "ignored parameters: ${shown.join(", ")}${more}"`;
}
