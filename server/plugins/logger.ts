/** The log: JSON lines by pino. Requests appear by id only; secrets are struck out should one ever be handed over. */
import { type DestinationStream, type Logger, pino } from "pino";

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
    },
  };
  return destination === undefined ? pino(settings) : pino(settings, destination);
}
