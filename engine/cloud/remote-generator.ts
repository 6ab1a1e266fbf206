/**
 * Generator number two: asks a remote backend, in the cloud or on the premises, through the door of its zone. The
 * provider knows the vendor's shape, the egress the connection; here is what holds for all of them: the judgement, time
 * limits, retries, the breaker, usage.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Clock } from "../core/clock.ts";
import type { DataClass } from "../core/data-class.ts";
import { WeirError } from "../core/errors.ts";
import type { GenerationEvent } from "../core/generator.ts";
import type { Zone } from "../core/policy.ts";
import type { GenerationRequest } from "../core/request.ts";
import { AnswerLimit, type Awaited } from "./answer-limit.ts";
import { AnswerState } from "./answer-state.ts";
import { admit, type Breaker, type BreakerOptions, CLOSED, type Outcome, settle } from "./breaker.ts";
import type { Egress, Incoming, Outgoing } from "./egress.ts";
import type { Provider } from "./providers/provider.ts";
import { provePublic } from "./public-proof.ts";
import { asFailure, failed, outcomeOf, problemError } from "./remote-errors.ts";
import { readPieces, readStart, type StreamBounds } from "./remote-stream.ts";
import { type RetryOptions, retryAfterMs, retryDelayMs } from "./retry.ts";
import type { SecretRef, SecretResolver } from "./secret-ref.ts";
import type { ZonedGenerator } from "./zoned.ts";

const ERROR_BODY_BYTES_MAX = 64 * 1024;
/** How long a client should wait for a place, in ms: about the length of an answer. */
const FULL_RETRY_MS = 2_000;

export interface RemoteOptions<Z extends Zone = Zone> extends StreamBounds {
  /** Of a destination of the egress. */
  readonly name: string;
  readonly zone: Z;
  /** `https://api.example.com/v1`, without a slash at its end. */
  readonly baseUrl: string;
  readonly provider: Provider;
  /** What clients call a model, and what the backend does. No other name is sent: it would be text of a request. */
  readonly models: ReadonlyMap<string, string>;
  readonly secret: SecretRef | undefined;
  /**
   * What the backend may take from the request to the last token, for requests that say nothing, in ms. Whoever reads the
   * answer may let it wait for as long again.
   */
  readonly requestTimeoutMs: number;
  /** Requests at the same time, with those that wait for a connection or for another try; one more is `overloaded`. */
  readonly underWayMax: number;
  readonly retry: RetryOptions;
  readonly breaker: BreakerOptions;
}

export interface RemotePorts {
  readonly egress: Egress;
  readonly clock: Clock;
  readonly secrets: SecretResolver;
  /** In [0, 1): spreads retries. */
  readonly chance: () => number;
  /**
   * The class of what would be sent to a cloud backend, from all that is known of the request; asked for each attempt,
   * and never for on-prem backends.
   */
  readonly judge: (request: GenerationRequest, bytes: Uint8Array) => Promise<DataClass>;
}

/**
 * One backend. Errors are WeirErrors, as the seam says. Once a part of the answer was given away nothing is tried again.
 * Throws RangeError where the egress has no such backend in that zone.
 */
export function createRemoteGenerator<Z extends Zone>(
  options: RemoteOptions<Z>,
  ports: RemotePorts,
): RemoteGenerator<Z> {
  const remote = new Remote(options, ports);
  const { name, zone } = options;
  return {
    name,
    zone,
    generate: (request, signal) => remote.generate(request, signal),
    isUp: () => remote.isUp(),
    bodyOf: (request) => encode(request, options).body,
  };
}

export interface RemoteGenerator<Z extends Zone> extends ZonedGenerator<Z> {
  /** False while it is not asked because its last answers failed. */
  isUp(): boolean;
  /** The bytes that it would be sent. Throws as `generate` would before it sends anything. */
  bodyOf(request: GenerationRequest): Uint8Array;
}

type Send = (request: GenerationRequest, outgoing: Outgoing) => Promise<Incoming>;
type AnswerEvent = Extract<GenerationEvent, { kind: "text" | "tool_call" }>;

/** What a request is in the vendor's shape. */
interface Encoded {
  readonly url: string;
  readonly body: Uint8Array;
}

/** An answer of which at least the first part, or the end, has come. */
interface Begun {
  readonly state: AnswerState;
  readonly first: IteratorResult<AnswerEvent, void>;
  readonly rest: AsyncGenerator<AnswerEvent, void>;
}

class Remote {
  readonly #options: RemoteOptions;
  readonly #ports: RemotePorts;
  readonly #send: Send;
  #breaker: Breaker = CLOSED;
  #underWay = 0;

  constructor(options: RemoteOptions, ports: RemotePorts) {
    this.#options = options;
    this.#ports = ports;
    this.#send = sender(options, ports);
  }

  /** Bounded, because behind the connections there is a queue without an end. */
  async *generate(request: GenerationRequest, client: AbortSignal): AsyncGenerator<GenerationEvent> {
    const { name, underWayMax } = this.#options;
    if (this.#underWay >= underWayMax) {
      throw new WeirError(
        "overloaded",
        `The backend ${name} has ${underWayMax} requests under way or waiting, and takes no more. Try again in a moment.`,
        { retryAfterMs: FULL_RETRY_MS },
      );
    }
    this.#underWay += 1;
    try {
      yield* this.#answer(request, client);
    } finally {
      this.#underWay -= 1;
    }
  }

  async *#answer(request: GenerationRequest, client: AbortSignal): AsyncGenerator<GenerationEvent> {
    const encoded = encode(request, this.#options);
    const startedAt = this.#ports.clock.now();
    const limitMs = request.timeoutMs ?? this.#options.requestTimeoutMs;
    using limit = new AnswerLimit(this.#ports.clock, limitMs);
    const readable = (thrown: unknown): unknown => {
      if (client.aborted)
        return new WeirError("cancelled", "The client left before the answer was complete.");
      if (limit.over === undefined) return asFailure(this.#options.name, thrown);
      return tookTooLong(limit.over, limitMs);
    };
    const answer = await this.#begin(request, encoded, AbortSignal.any([client, limit.signal]), readable);
    // Not only at the answer's end: whoever waits for a backend that is being tried would wait for minutes.
    this.#settle("begun");
    let outcome: Outcome = "neither";
    try {
      for await (const event of this.#tell(answer, startedAt)) {
        limit.waitFor("reader");
        yield event;
        limit.waitFor("backend");
      }
      outcome = "success";
    } catch (thrown) {
      const error = readable(thrown);
      outcome = limit.over === "reader" ? "neither" : outcomeOf(error);
      throw error;
    } finally {
      this.#settle(outcome);
      await answer.rest.return();
    }
  }

  async *#tell({ state, first, rest }: Begun, startedAt: number): AsyncGenerator<GenerationEvent> {
    const { clock } = this.#ports;
    const firstAt = clock.now();
    yield { kind: "started", promptTokens: state.promptTokens };
    for (let step = first; step.done !== true; step = await rest.next()) yield step.value;
    const { reason } = state;
    if (reason === undefined) throw failed(this.#options.name, "its answer broke off");
    const usage = state.usage({ startedAt, firstAt, endedAt: clock.now() });
    yield { kind: "finished", reason, usage };
  }

  /** Asks until an answer begins; then the breaker still has to be told how it ended. */
  async #begin(
    request: GenerationRequest,
    encoded: Encoded,
    signal: AbortSignal,
    readable: (thrown: unknown) => unknown,
  ): Promise<Begun> {
    for (let attempt = 1; ; attempt += 1) {
      this.#admit();
      try {
        return await this.#attempt(request, encoded, signal);
      } catch (thrown) {
        const error = readable(thrown);
        this.#settle(outcomeOf(error));
        if (!(error instanceof WeirError)) throw error;
        const delay = retryDelayMs(attempt, error, this.#options.retry, this.#ports.chance());
        if (delay === undefined) throw error;
        await sleep(delay, undefined, { signal }).catch((aborted: unknown) => {
          throw readable(aborted);
        });
      }
    }
  }

  async #attempt(request: GenerationRequest, { url, body }: Encoded, signal: AbortSignal): Promise<Begun> {
    const { name, provider } = this.#options;
    const headers = {
      accept: "text/event-stream",
      "content-type": "application/json",
      ...provider.headers(await untilAborted(this.#secret(), signal)),
    };
    const askedAt = this.#ports.clock.now();
    const answer = await this.#send(request, { url, headers, body, signal });
    if (answer.status !== 200) {
      const problem = provider.problem(answer.status, await readStart(answer.body, ERROR_BODY_BYTES_MAX));
      throw problemError(name, problem, retryAfterMs(answer.headers, this.#ports.clock.wall()));
    }
    const state = new AnswerState({ promptBytes: body.byteLength, maxTokens: request.maxTokens });
    const rest = this.#events(answer, request, { state, askedAt });
    const first = await rest.next();
    if (first.done === true && state.reason === undefined) throw failed(name, "it answered nothing");
    return { state, first, rest };
  }

  async *#events(
    answer: Incoming,
    request: GenerationRequest,
    { state, askedAt }: { readonly state: AnswerState; readonly askedAt: number },
  ): AsyncGenerator<AnswerEvent, void> {
    const { name, provider } = this.#options;
    for await (const piece of readPieces(answer.body, provider.open(request), this.#options)) {
      switch (piece.kind) {
        case "text":
          state.said(piece.text);
          yield { kind: "text", text: piece.text, tokens: [], logprobs: [] };
          break;
        case "tool_call":
          state.said((piece.opening?.name ?? "") + piece.arguments);
          yield piece;
          break;
        case "counts":
          state.count(piece.counts, this.#ports.clock.now() - askedAt);
          break;
        case "reason":
          state.reason = piece.reason;
          break;
        case "problem":
          throw problemError(name, piece.problem);
        case "end":
          return;
      }
    }
  }

  async #secret(): Promise<string | undefined> {
    const { name, secret } = this.#options;
    if (secret === undefined) return undefined;
    try {
      return await this.#ports.secrets(secret);
    } catch (cause) {
      throw new WeirError(
        "backend_refused",
        `The secret ${secret} of the backend ${name} could not be read.`,
        {
          cause,
        },
      );
    }
  }

  isUp(): boolean {
    return admit(this.#breaker, this.#ports.clock.now(), this.#options.breaker).kind === "go";
  }

  #admit(): void {
    const admission = admit(this.#breaker, this.#ports.clock.now(), this.#options.breaker);
    if (admission.kind === "go") {
      this.#breaker = admission.state;
      return;
    }
    const message = `The backend ${this.#options.name} is not asked for a while: its last answers failed.`;
    throw new WeirError("backend_unavailable", message, { retryAfterMs: admission.retryAfterMs });
  }

  #settle(outcome: Outcome): void {
    this.#breaker = settle(this.#breaker, outcome, this.#ports.clock.now(), this.#options.breaker);
  }
}

const tookTooLong = (who: Awaited, limitMs: number): WeirError =>
  new WeirError(
    "request_timeout",
    who === "backend"
      ? `The backend's answer was not complete after ${limitMs} ms.`
      : `The answer was cut off: whoever reads it let it wait for ${limitMs} ms in all. Read it faster, or ask for less.`,
  );

/** The way through the door of the backend's zone. There is one for each generator, and no other. */
function sender({ name, zone }: RemoteOptions, { egress, judge }: RemotePorts): Send {
  if (zone === "onprem") {
    const host = egress.onpremHost(name);
    return (_request, outgoing) => egress.onprem(host, outgoing);
  }
  const host = egress.cloudHost(name);
  return async (request, outgoing) => {
    const judged = await untilAborted(judgement(judge, request, outgoing.body), outgoing.signal);
    return egress.cloud(host, provePublic(outgoing.body, judged), outgoing);
  };
}

/** A judge that fails has not said public. */
async function judgement(
  judge: RemotePorts["judge"],
  request: GenerationRequest,
  bytes: Uint8Array,
): Promise<DataClass> {
  try {
    return await judge(request, bytes);
  } catch {
    return "restricted";
  }
}

/** Does not wait for what takes longer than the request may; it comes to nothing then. */
function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

function encode(request: GenerationRequest, { name, baseUrl, models, provider }: RemoteOptions): Encoded {
  const model = models.get(request.model);
  if (model === undefined) {
    throw new WeirError("model_not_found", `The backend ${name} has no such model.`, { param: "model" });
  }
  const { path, body } = provider.encode(request, model);
  return { url: baseUrl + path, body: Buffer.from(JSON.stringify(body)) };
}
