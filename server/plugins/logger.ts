/**
 * The log: JSON lines by pino. Requests appear by id only; secrets are struck out should one ever be handed over, and of an
 * error what may quote a request.
 */
import { type DestinationStream, type LogFn, type Logger, pino } from "pino";
import { bugReport } from "../bug-report.ts";

export type LogLevel = "fatal" | "error" | "warn" | "info" | "debug" | "trace" | "silent";

const SECRETS = ["authorization", "cookie", "x-api-key", "api-key"].flatMap((header) => [
  `headers["${header}"]`,
  `*.headers["${header}"]`,
  `*["${header}"]`,
  `["${header}"]`,
]);

export function createLogger(options: { readonly level: LogLevel }, destination?: DestinationStream): Logger {
  const settings = {
    level: options.level,
    base: null,
    redact: { paths: SECRETS, censor: "[redacted]" },
    serializers: {
      req: (request: { id?: unknown; method?: unknown }) => ({ id: request.id, method: request.method }),
      res: (answer: { statusCode?: unknown }) => ({ status: answer.statusCode }),
      err: (failure: unknown) => bugReport(failure),
    },
    hooks: { logMethod: sayInOwnWords },
  };
  return destination === undefined ? pino(settings) : pino(settings, destination);
}

/** Where a line has no words of its own, pino takes the error's; Fastify hands them over as if they were its own. */
function sayInOwnWords(this: Logger, args: Parameters<LogFn>, log: LogFn): void {
  const [first, words] = args as readonly unknown[];
  const err = first instanceof Error ? first : (first as { readonly err?: unknown } | null | undefined)?.err;
  const borrowed = err instanceof Error && (typeof words !== "string" || words === err.message);
  if (borrowed) log.call(this, first instanceof Error ? { err } : (first as object), "something failed");
  else log.apply(this, args);
}
