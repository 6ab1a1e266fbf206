/**
 * The Generator behind the router: it serves requests that a decision was bound to, on the backends of that decision and
 * no others. A request without a decision is not served at all.
 */
import { assert } from "../core/assert.ts";
import type { DataClass } from "../core/data-class.ts";
import { type ErrorCode, WeirError } from "../core/errors.ts";
import type { GenerationEvent, Generator } from "../core/generator.ts";
import type { Zone } from "../core/policy.ts";
import type { GenerationRequest, Prompt } from "../core/request.ts";
import type { Decision, Target } from "../core/route.ts";

export interface RoutedBackend extends Generator {
  readonly name: string;
  readonly zone: Zone;
}

/** A request as it may leave, and the way back for its answer. */
export interface Pseudonymised {
  readonly request: GenerationRequest;
  readonly restore: (events: AsyncIterable<GenerationEvent>) => AsyncIterable<GenerationEvent>;
}

export interface RoutedPorts {
  readonly backends: ReadonlyMap<string, RoutedBackend>;
  /** Asks one after the other until one begins to answer. */
  readonly inTurn: (zone: Zone, backends: readonly RoutedBackend[]) => Generator;
  /** Undefined where it cannot be done: then nothing leaves. */
  readonly pseudonymise: (request: GenerationRequest) => Pseudonymised | undefined;
  /** What becomes of a request where the cloud's door found a doubt; the same for all its choices. */
  readonly atDoor: (decision: Decision) => Decision;
  /** Whether the door of the backend's zone would let it out; asked before the first of several choices leaves. */
  readonly mayLeave: (backend: string, request: GenerationRequest) => Promise<boolean>;
  /** Of personal and restricted requests: what comes back of their answers is not public either. */
  readonly rememberAnswer: (caller: string, text: string, dataClass: DataClass) => void;
}

interface Bound {
  decision: Decision;
  /** All choices of a request leave, or none: what one of them may is decided once. Undefined for a single one. */
  readonly together: { mayLeave: Promise<boolean> | undefined } | undefined;
  /** The backend that gave the first part of the answer. */
  servedBy: string | undefined;
}

/** How a request came to be served. */
export interface Outcome {
  readonly backend: string | undefined;
  readonly decision: Decision;
}

/** Failures that say that nobody is there, as against an answer that is no. */
const NOBODY_THERE: ReadonlySet<ErrorCode> = new Set(["backend_failed", "backend_unavailable"]);

export class RoutedGenerator implements Generator {
  readonly #ports: RoutedPorts;
  readonly #bound = new WeakMap<GenerationRequest, Bound>();
  readonly #hidden = new WeakMap<Prompt, Pseudonymised>();
  /** Of what is handed to backends: the class that its text has by then. */
  readonly #classes = new WeakMap<GenerationRequest, DataClass>();

  constructor(ports: RoutedPorts) {
    this.#ports = ports;
  }

  /** `decision` serves these requests, and only these objects. */
  bind(requests: readonly GenerationRequest[], decision: Decision): void {
    const together = requests.length > 1 ? { mayLeave: undefined } : undefined;
    for (const request of requests) this.#bound.set(request, { decision, together, servedBy: undefined });
  }

  /** For the cloud's door: the class of a request that a backend was handed; one that nobody decided on is restricted. */
  readonly classOf = (request: GenerationRequest): DataClass => this.#classes.get(request) ?? "restricted";

  /** By which decision it runs now, and who answers, once the first event is there. */
  outcome(request: GenerationRequest): Outcome | undefined {
    const bound = this.#bound.get(request);
    return bound === undefined ? undefined : { backend: bound.servedBy, decision: bound.decision };
  }

  async *generate(request: GenerationRequest, signal: AbortSignal): AsyncGenerator<GenerationEvent> {
    const bound = this.#bound.get(request);
    assert(bound !== undefined, "a request must be decided on before it is served");
    const { route, caller, sticky } = bound.decision;
    assert(route.action === "serve", "a request that was refused is not served");
    if (!sticky) {
      yield* this.#insideIfRefused(request, bound, signal);
      return;
    }
    const answer = new AnswerTexts();
    let kept = false;
    const keep = (): void => {
      if (!kept) for (const text of answer.texts()) this.#ports.rememberAnswer(caller.id, text, route.class);
      kept = true;
    };
    try {
      for await (const event of this.#insideIfRefused(request, bound, signal)) {
        answer.add(event);
        // Before the client has the whole of it: its next request may already hold it.
        if (event.kind === "finished") keep();
        yield event;
      }
    } finally {
      keep();
    }
  }

  async *#insideIfRefused(
    request: GenerationRequest,
    bound: Bound,
    signal: AbortSignal,
  ): AsyncGenerator<GenerationEvent> {
    const { together } = bound;
    if (together !== undefined && bound.decision.route.zone === "cloud") {
      together.mayLeave ??= this.#mayLeave(request, bound.decision);
      if (!(await together.mayLeave)) this.#keep(bound);
    }
    try {
      yield* this.#answer(request, bound, signal);
    } catch (error) {
      const refused = error instanceof WeirError && error.code === "egress_refused";
      // Others of its choices may be out there already: then it is the whole request that fails.
      if (!refused || bound.servedBy !== undefined || together !== undefined) throw error;
      this.#keep(bound);
      yield* this.#answer(request, bound, signal);
    }
  }

  async #mayLeave(request: GenerationRequest, { route, targets }: Decision): Promise<boolean> {
    const [first] = targets;
    if (first === undefined) return false;
    const hidden = route.action === "serve" && route.pseudonymise ? this.#hide(request).request : request;
    return this.#ports.mayLeave(first.backend, { ...hidden, model: first.model });
  }

  /** By a second decision it runs in the house, or not at all. */
  #keep(bound: Bound): void {
    bound.decision = this.#ports.atDoor(bound.decision);
    const { route } = bound.decision;
    if (route.action === "serve") return;
    throw new WeirError(
      "private_data",
      `What would have gone to the cloud may hold more than public data (egress.doubt, judged again before it left), so ` +
        "nothing was sent. Send it with model 'auto' or a local one.",
      { param: "model" },
    );
  }

  async *#answer(
    request: GenerationRequest,
    bound: Bound,
    signal: AbortSignal,
  ): AsyncGenerator<GenerationEvent> {
    const { route, targets } = bound.decision;
    const hidden = route.action === "serve" && route.pseudonymise ? this.#hide(request) : undefined;
    const outgoing = hidden?.request ?? request;
    const backends = targets.map((target) =>
      this.#towards(target, {
        zone: route.zone,
        dataClass: hidden === undefined ? route.class : "public",
        bound,
      }),
    );
    const events = this.#ports.inTurn(route.zone, backends).generate(outgoing, signal);
    try {
      yield* hidden === undefined ? events : hidden.restore(events);
    } catch (error) {
      const gone = error instanceof WeirError && NOBODY_THERE.has(error.code) && bound.servedBy === undefined;
      if (route.zone === "cloud" || !gone) throw error;
      throw new WeirError(
        "onprem_unavailable",
        "No backend of the house answers, and this request is sent nowhere else. Try again later.",
        { cause: error, ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }) },
      );
    }
  }

  /** The choices of a request share their prompt, and so its placeholders. */
  #hide(request: GenerationRequest): Pseudonymised {
    const hidden = this.#hidden.get(request.prompt) ?? this.#ports.pseudonymise(request);
    if (hidden !== undefined) {
      this.#hidden.set(request.prompt, hidden);
      const { choice, sampling } = request;
      return { ...hidden, request: { ...hidden.request, choice, sampling } };
    }
    throw new WeirError(
      "egress_refused",
      "Nothing was sent: what has to be replaced in this request before it may leave cannot be.",
    );
  }

  /** The backend, asked for its own model; the object that it gets is the one that the cloud's door asks about. */
  #towards(
    { backend, model }: Target,
    { zone, dataClass, bound }: { zone: Zone; dataClass: DataClass; bound: Bound },
  ): RoutedBackend {
    const to = this.#ports.backends.get(backend);
    assert(to !== undefined && to.zone === zone, `the backend ${backend} must be there, in the zone ${zone}`);
    const classes = this.#classes;
    return {
      name: to.name,
      zone,
      async *generate(request, signal) {
        const own = { ...request, model };
        classes.set(own, dataClass);
        for await (const event of to.generate(own, signal)) {
          bound.servedBy ??= to.name;
          yield event;
        }
      },
    };
  }
}

/** What an answer says: its text, and the arguments of each call of a tool. */
class AnswerTexts {
  #text = "";
  readonly #calls: string[] = [];

  add(event: GenerationEvent): void {
    if (event.kind === "text") this.#text += event.text;
    else if (event.kind === "tool_call")
      this.#calls[event.index] = (this.#calls[event.index] ?? "") + event.arguments;
  }

  texts(): readonly string[] {
    return [this.#text, ...this.#calls.filter((call) => call !== undefined)];
  }
}
