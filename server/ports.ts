/** What the gateway asks of the rest of the house: everything it needs comes in through these, nothing is imported. */

import type { FastifyBaseLogger } from "fastify";
import type { Clock } from "../engine/core/clock.ts";
import type { DataClass } from "../engine/core/data-class.ts";
import type { WeirError } from "../engine/core/errors.ts";
import type { Generator, ModelDirectory } from "../engine/core/generator.ts";
import type { Zone } from "../engine/core/policy.ts";
import type { GenerationRequest } from "../engine/core/request.ts";
import type { Decision, Question, Verdict } from "../engine/core/route.ts";

import type { RateLimits } from "./rate-limits.ts";

export type Readiness =
  | { readonly kind: "ready" }
  /** `reason` is shown to clients: why not yet, or why no more. */
  | { readonly kind: "starting" | "draining"; readonly reason?: string; readonly retryAfterMs?: number };

/** `inference`: models and answers. `metrics`: /metrics and /docs. `admin`: everything. */
export const SCOPES = ["inference", "metrics", "admin"] as const;
export type Scope = (typeof SCOPES)[number];

/** Who asked. The name comes from the store of keys or the keys file (or is made up from the line), never from the key. */
export interface Principal {
  readonly name: string;
  /** The part of the key that is no secret; undefined for the built-in admin and for keys without one. */
  readonly id: string | undefined;
  readonly team: string | undefined;
  readonly scopes: readonly Scope[];
  /** Name of the policy's rules for it. */
  readonly policy: string | undefined;
  /** Its requests are at least of this class. */
  readonly classFloor: DataClass;
  /** Names that it may send as `model`; empty: all. */
  readonly models: readonly string[];
  /** Undefined: unlimited. */
  readonly requestsPerMinute: number | undefined;
  /** Prompt and answer together. */
  readonly tokensPerMinute: number | undefined;
}

/** One without limits: the built-in admin, and keys of the keys file. */
export const unlimited = (name: string, id: string | undefined): Principal => ({
  name,
  id,
  team: undefined,
  scopes: ["admin"],
  policy: undefined,
  classFloor: "public",
  models: [],
  requestsPerMinute: undefined,
  tokensPerMinute: undefined,
});

export interface KeyVerifier {
  /** Undefined for a key that is on no line. Rejects with `overloaded` while too many unseen keys are being checked. */
  verify(key: string): Promise<Principal | undefined>;
}

export type Access =
  /** No keys and bound to loopback: whoever reaches the port is the admin. */
  | { readonly kind: "open"; readonly principal: Principal }
  | { readonly kind: "keys"; readonly verifier: KeyVerifier };

export interface GatewayMetrics {
  /** The same generator, with every generation counted and timed. */
  measure(inner: Generator): Generator;
  /** `route` is the route's pattern, never the URL, so that the number of labels is bounded. */
  answered(request: { route: string; method: string; status: number; elapsedMs: number }): void;
  failed(error: WeirError): void;
  /** A decision of the router, and how long it took with the classification. */
  routed(decision: {
    readonly class: DataClass;
    readonly zone: Zone;
    readonly action: "serve" | "refuse";
    readonly elapsedMs: number;
  }): void;
  streamOpened(): void;
  streamClosed(): void;
  /** The registry in Prometheus' text format. */
  text(): Promise<string>;
  readonly contentType: string;
}

/** A model of another server, as clients may name it. */
export interface RemoteModel {
  /** `BACKEND/NAME` */
  readonly id: string;
  readonly backend: string;
  readonly zone: Zone;
}

/** Where requests run; engine/routing says how that is decided. */
export interface Routing {
  /** What would be decided; changes nothing. */
  judge(question: Question): Promise<Verdict>;
  /** Throws where the decision could not be put on record: then nothing may be served. */
  decide(question: Question, requestId: string): Promise<Decision>;
  /** From here on the generator serves these requests, as decided. */
  bind(requests: readonly GenerationRequest[], decision: Decision): void;
  /** By which decision a request runs now, and the backend that answers, once it does. */
  outcome(
    request: GenerationRequest,
  ): { readonly backend: string | undefined; readonly decision: Decision } | undefined;
  remoteModels(): readonly RemoteModel[];
}

export interface GatewayPorts {
  /** Serves requests that `routing` was asked about, and no others. */
  readonly generator: Generator;
  readonly routing: Routing;
  /** What each key may use in a minute. */
  readonly limits: Pick<RateLimits, "admit">;
  readonly models: ModelDirectory;
  readonly clock: Clock;
  readonly metrics: GatewayMetrics;
  readonly readiness: () => Readiness;
  readonly access: Access;
  readonly newRequestId: () => string;
  /** A whole number in [0, 2^53), for requests without a seed. */
  readonly randomSeed: () => number;
  readonly logger: FastifyBaseLogger;
}

/** Every bound of the HTTP edge; the configuration decides, nothing here has a default. */
export interface GatewayOptions {
  /** Shown in /docs and in the build metric. */
  readonly version: string;
  /** Where models run, for /health. */
  readonly device: string;
  /** A longer body is refused with 413, in bytes. */
  readonly bodyBytesMax: number;
  /** All header lines of one request together, in bytes; more is refused with 431. */
  readonly headerBytesMax: number;
  /** Open sockets; more are closed at once. */
  readonly connectionsMax: number;
  /** From the first byte of a request to the end of its headers, in ms. */
  readonly headersTimeoutMs: number;
  /** From the first byte of a request to the end of its body, in ms. Does not bound the answer. */
  readonly receiveTimeoutMs: number;
  /** How long an idle connection is kept for the next request, in ms. */
  readonly keepAliveTimeoutMs: number;
  /** A client that reads nothing for so long while its answer waits is cut off, in ms. */
  readonly stalledClientTimeoutMs: number;
  /** A silent stream carries a comment this often, so that proxies keep it open, in ms. */
  readonly streamKeepAliveMs: number;
  /** Largest `n`. */
  readonly choicesMax: number;
  /** Prompts in one completions request. */
  readonly promptsMax: number;
  /** Prompts times n in one request. */
  readonly generationsMax: number;
  /** Messages in one chat request. */
  readonly messagesMax: number;
}
