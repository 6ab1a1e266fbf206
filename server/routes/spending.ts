/** What a request takes of its key's tokens a minute: reserved before it runs, settled by what was used, however it ends. */
import type { FastifyReply, FastifyRequest, preHandlerHookHandler } from "fastify";
import { assert } from "../../engine/core/assert.ts";
import type { GenerationEvent, Generator } from "../../engine/core/generator.ts";
import type { GatewayPorts } from "../ports.ts";
import type { Lease } from "../rate-limits.ts";

export interface Asked {
  /** Prompts of the request. */
  readonly prompts: number;
  /** Answers to each. */
  readonly n: number;
  readonly maxTokens: number | undefined;
}

/** English has some four bytes a token, Chinese three: an estimate that is seldom too low. */
const BYTES_PER_TOKEN = 3;
/** Of an answer without a bound; more than that becomes a debt. */
const ANSWER_TOKENS = 1024;
const CHARACTERS_PER_TOKEN = 4;

/** Throws `rate_limited`, or `invalid_request` where no waiting helps. To be disposed of when the answer is complete. */
export function spend(
  { request, reply }: { readonly request: FastifyRequest; readonly reply: FastifyReply },
  { limits }: Pick<GatewayPorts, "limits">,
  { prompts, n, maxTokens }: Asked,
): Spending {
  const { principal, received } = request;
  assert(principal !== null, "a request is counted for somebody");
  // A guess of ours alone is no reason to refuse a key with a small allowance.
  const guess = Math.min(
    ANSWER_TOKENS,
    Math.floor((principal.tokensPerMinute ?? Number.POSITIVE_INFINITY) / 4),
  );
  const estimate = Math.ceil(received.bytes / BYTES_PER_TOKEN) + prompts * n * (maxTokens ?? guess);
  const admission = limits.admit(principal, estimate);
  reply.headers(admission.ok ? admission.lease.headers : admission.headers);
  if (!admission.ok) throw admission.error;
  return new Spending(admission.lease, n);
}

/** For requests that generate nothing: they count as requests, and take no tokens. */
export const countRequest =
  ({ limits }: Pick<GatewayPorts, "limits">): preHandlerHookHandler =>
  (request, reply, done) => {
    assert(request.principal !== null, "a request is counted for somebody");
    const admission = limits.admit(request.principal, 0);
    reply.headers(admission.ok ? admission.lease.headers : admission.headers);
    if (admission.ok) admission.lease.settle(0);
    done(admission.ok ? undefined : admission.error);
  };

export class Spending {
  readonly #lease: Lease;
  readonly #n: number;
  #used = 0;

  constructor(lease: Lease, n: number) {
    this.#lease = lease;
    this.#n = n;
  }

  /** The same generator; what it computes is counted, also of answers that break off. */
  watch(inner: Generator): Generator {
    const count = (choice: number, promptTokens: number, answerTokens: number): void => {
      // A prompt is read once for all its answers.
      this.#used += (choice % this.#n === 0 ? promptTokens : 0) + answerTokens;
    };
    return {
      async *generate(request, signal) {
        const answer = new Tally();
        try {
          for await (const event of inner.generate(request, signal)) {
            answer.add(event);
            yield event;
          }
        } finally {
          count(request.choice, answer.promptTokens, answer.tokens);
        }
      },
    };
  }

  [Symbol.dispose](): void {
    this.#lease.settle(this.#used);
  }
}

/** Of one answer, so far; by its own usage once that is known. */
class Tally {
  promptTokens = 0;
  tokens = 0;

  add(event: GenerationEvent): void {
    if (event.kind === "started") this.promptTokens = event.promptTokens;
    else if (event.kind === "text") {
      // Remote backends do not tell their tokens.
      this.tokens += event.tokens.length || Math.ceil(event.text.length / CHARACTERS_PER_TOKEN);
    } else if (event.kind === "finished") {
      this.promptTokens = event.usage.promptTokens;
      this.tokens = event.usage.completionTokens;
    }
  }
}
