/** One entry of `backends` in weir.yaml: another server that answers, the zone of trust that it is in, and its limits. */
import { z } from "zod";

const whole = (least: number, most: number, otherwise: number) =>
  z.int().min(least).max(most).default(otherwise);

const MIB = 2 ** 20;

/** Also the first part of `BACKEND/MODEL`, hence no slash; `local` and `auto` have meanings of their own. */
export const backendName = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/, "must be a short name of a-z, 0-9, and . _ - inside")
  .refine(
    (name) => name !== "local" && name !== "auto",
    "must not be local or auto, which mean something else",
  );

const url = z
  .string()
  .regex(/^https?:\/\/[^\s?#@]+$/i, "must be an http or https address without user name, query and fragment")
  .refine((text) => URL.canParse(text), "must be a complete address, such as https://api.example.com/v1")
  .transform((text) => text.replace(/\/+$/, ""));

/** A secret itself must not stand here, so the message does not repeat what does. */
const secret = z
  .string()
  .regex(
    /^(?:env:[A-Za-z_][A-Za-z0-9_]{0,127}|file:[^\0\r\n]{1,1024})$/,
    "must be a reference, env:NAME or file:PATH; never the secret itself",
  );

/** What clients say; sent on only by its place in this list. */
const modelName = z
  .string()
  .regex(/^[\x21-\x7e]{1,128}$/, "must be 1 to 128 plain characters without spaces");

const vendorModel = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,199}$/, "must be a model's name as the backend knows it");

const models = z
  .union(
    [z.array(vendorModel), z.record(modelName, vendorModel)],
    "must be a list of models, or a map from what clients say to the backend's own name",
  )
  .transform(
    (given): Readonly<Record<string, string>> =>
      Array.isArray(given) ? Object.fromEntries(given.map((name) => [name, name])) : given,
  )
  .refine((given) => Object.keys(given).length > 0, "must name at least one model")
  .refine((given) => Object.keys(given).length <= 256, "may name at most 256 models");

/** As price books name whose prices they say. */
export const priceProvider = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9._-]{0,63}$/,
    "must be the name of a provider in the price book: a-z, 0-9 and . _ -",
  );

const BACKEND_KINDS = ["openai", "anthropic", "gemini"] as const;

export const backendSchema = z
  .strictObject({
    zone: z.enum(["onprem", "cloud"]),
    kind: z.enum(BACKEND_KINDS),
    url,
    secret: secret.optional(),
    models,
    /** What `auto` gets; the first of the models where absent. */
    default_model: modelName.optional(),
    /** Further ranges that the host's addresses may lie in: a private endpoint of a cloud, a site with public addresses. */
    ranges: z.array(z.string().max(64)).max(64).default([]),
    /** Allows http to a cloud, which anybody on the way can read. On the premises the url alone decides. */
    plaintext: z.boolean().default(false),
    proxy: z
      .string()
      .regex(/^https?:\/\/[^\s@]+$/, "must be an address such as http://proxy.example:3128")
      .optional(),
    /** File with the certificates to trust instead of the usual ones, PEM. */
    ca_file: z.string().min(1).max(4096).optional(),
    /** Of kind openai: the header that carries the secret; api-key is Azure's. */
    auth: z.enum(["bearer", "api-key"]).default("bearer"),
    /** Of kind openai: Azure's `api-version`. */
    api_version: z
      .string()
      .regex(/^[A-Za-z0-9._-]{1,40}$/, "must be a version such as 2024-10-21")
      .optional(),
    /** Of kind openai: how the server calls the longest answer. */
    max_tokens_field: z.enum(["max_completion_tokens", "max_tokens"]).optional(),
    /** Of kind openai: it has /completions. */
    completions: z.boolean().optional(),
    /** Of kind openai: it knows vLLM's further sampling parameters. */
    extras: z.boolean().optional(),
    /** Of kind anthropic, which wants a bound: the longest answer where a request names none. */
    max_tokens_default: whole(1, 1_000_000, 4096),
    connections_max: whole(1, 4096, 64),
    /** Requests that may wait for one of the connections; one more is refused as overloaded. */
    waiting_max: whole(0, 65_536, 256),
    connect_timeout_ms: whole(10, 600_000, 5_000),
    /** From the request to the answer's first line. */
    headers_timeout_ms: whole(10, 3_600_000, 60_000),
    /** Between two parts of an answer. */
    idle_timeout_ms: whole(10, 3_600_000, 60_000),
    /** Of the backend's own time; whoever reads its answer may let it wait for as long again. */
    request_timeout_ms: whole(10, 86_400_000, 600_000),
    answer_bytes_max: whole(1024, 1024 * MIB, 16 * MIB),
    /** Tries of one request before its first token, the first included. */
    attempts_max: whole(1, 10, 3),
    /** A longer pause that the backend asks for is passed on to the client. */
    retry_after_ms_max: whole(0, 600_000, 10_000),
    /** Failures in a row after which it is not asked for a while. */
    breaker_failures_max: whole(1, 1000, 5),
    /** How long at first; up to sixteen times as long while it goes on failing. */
    breaker_open_ms: whole(10, 3_600_000, 5_000),
    /** A second request is sent where the first has not begun after as long as 95 of 100 answers took to. */
    hedge: z.boolean().default(false),
    /** Whose rows of the price book hold. Where absent: of a cloud those of its kind; a server of the house goes by none. */
    prices: priceProvider.optional(),
  })
  .superRefine((backend, context) => {
    const fail = (path: string, message: string): void => {
      context.addIssue({ code: "custom", path: [path], message });
    };
    if (backend.zone === "cloud" && backend.url.toLowerCase().startsWith("http:") && !backend.plaintext)
      fail("url", "must be https for a cloud backend (or plaintext: true, for tests)");
    if (backend.default_model !== undefined && !Object.hasOwn(backend.models, backend.default_model))
      fail("default_model", "must be one of the backend's models");
    if (backend.kind !== "openai") {
      for (const only of ["api_version", "max_tokens_field", "completions", "extras"] as const) {
        if (backend[only] !== undefined) fail(only, "is for backends of kind openai");
      }
    }
  });

/** As in the file, all defaults filled in. */
export type BackendSettings = z.output<typeof backendSchema>;
