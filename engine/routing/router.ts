/**
 * Asks all who know something about a request (its words, its labels, its key, its conversation's past) and decides once
 * where it runs. A decision is on record before it takes effect. Whatever goes wrong on the way ends in the house, or in
 * a refusal.
 */
import { assert } from "../core/assert.ts";
import { atLeast, type DataClass, maxClass } from "../core/data-class.ts";
import type { DecisionRecord } from "../core/decision-record.ts";
import type { Evidence } from "../core/evidence.ts";
import type { Policy, Zone } from "../core/policy.ts";
import type { GenerationRequest } from "../core/request.ts";
import type { Caller, Decision, Question, Route, Target, Verdict, Wanted } from "../core/route.ts";
import type { Classification } from "./classify.ts";
import { type BackendFacts, decideRoute } from "./decide.ts";
import { declaredVotes } from "./declared.ts";
import { LOCAL, type NamedBackend, type Names, resolveModel } from "./model-names.ts";

export interface KnownBackend extends NamedBackend {
  readonly zone: Zone;
  /** False while it is known not to answer. */
  readonly isUp: () => boolean;
}

export interface RouterPorts {
  /** The one in force; asked once a request. */
  readonly policy: () => Policy;
  /** Never rejects: what cannot be judged is restricted. */
  readonly classify: (body: unknown, declared: readonly Evidence[], bytes: number) => Promise<Classification>;
  /** All but the engine of this process, in the order of the configuration. */
  readonly backends: readonly KnownBackend[];
  /** The engine of this process; `autoModel` undefined where nothing is installed. */
  readonly local: {
    readonly autoModel: () => string | undefined;
    readonly isInstalled: (model: string) => boolean;
    readonly isUp: () => boolean;
  };
  readonly aliases: Readonly<Record<string, string>>;
  readonly pins: {
    lookup(caller: string, body: unknown): DataClass | undefined;
    remember(caller: string, body: unknown, dataClass: DataClass): void;
  };
  /** Whether a request's text, once names and numbers in it are replaced, is public. */
  readonly isReleasable: (requests: readonly GenerationRequest[]) => Promise<boolean>;
  /** Returns the receipt's id; throws where it could not be written. */
  readonly record: (decision: DecisionRecord) => string;
  readonly topicModel: string | null;
}

export class Router {
  readonly #ports: RouterPorts;
  readonly #records = new WeakMap<Decision, DecisionRecord>();
  readonly #atDoor = new WeakMap<Decision, Decision>();

  constructor(ports: RouterPorts) {
    this.#ports = ports;
  }

  /** What would be decided; changes nothing. */
  async judge(question: Question): Promise<Verdict> {
    const policy = this.#ports.policy();
    const { caller, body } = question;
    const votes = declaredVotes(body, { ...question, classFloor: caller.classFloor }, policy);
    const classification = await this.#ports.classify(body, votes, question.bytes);
    const pinned = this.#ports.pins.lookup(caller.id, body);
    const wanted = this.#wanted(body);
    const facts = {
      class: classification.class,
      pinned,
      keyPolicy: keyPolicyOf(caller, policy),
      keyModels: caller.models,
      agent: question.agent,
      wanted,
      backends: this.#facts(),
    };
    const decided = decideRoute(facts, policy);
    // What becomes of the same request if it may not leave.
    const inside: Route = {
      ...decideRoute({ ...facts, class: maxClass(facts.class, "personal") }, policy),
      class: decided.class,
    };
    // Something in it that cannot be replaced stays.
    const kept = decided.action === "serve" && decided.pseudonymise && !(await this.#isReleasable(question));
    const route = kept ? inside : decided;
    const key = keyPolicyOf(caller, policy);
    return {
      route,
      content: classification.class,
      pinned,
      wanted,
      targets: this.#targets(route, wanted),
      atDoor: { route: inside, targets: this.#targets(inside, wanted) },
      evidence: [
        ...(kept ? [{ rule: "pseudonyms.kept", class: route.class, where: "" }] : []),
        ...raisedBy(route.class, classification, pinned),
        ...classification.evidence,
      ],
      confidence: route.class === classification.class ? classification.confidence : 1,
      policy: policy.hash,
      key: key ?? null,
      // A name that the policy does not have is the client's own text.
      agent:
        question.agent === undefined
          ? null
          : policy.agents.has(question.agent)
            ? question.agent
            : UNKNOWN_AGENT,
      sticky: atLeast(route.class, "personal") && !atLeast(floorOf(caller, key, policy), route.class),
    };
  }

  /** Decides, and puts it on record. Throws where that is not possible: then nothing may be served. */
  async decide(question: Question, requestId: string): Promise<Decision> {
    const verdict = await this.judge(question);
    const { route, content, pinned, wanted, targets, evidence, key, agent } = verdict;
    const { caller } = question;
    if (verdict.sticky) this.#ports.pins.remember(caller.id, question.body, route.class);
    const record: DecisionRecord = {
      request: requestId,
      class: route.class,
      content,
      pinned: pinned ?? null,
      key,
      agent,
      wanted: wanted.kind === "named" ? { model: wanted.model, backend: wanted.backend } : wanted.kind,
      zone: route.zone,
      action: route.action,
      backend: targets[0]?.backend ?? null,
      rules: [...new Set(evidence.map(({ rule }) => rule))],
      policy: verdict.policy,
      topicModel: this.#ports.topicModel,
      bytes: question.bytes,
    };
    const decision = { ...verdict, receipt: this.#ports.record(record), caller };
    this.#records.set(decision, record);
    return decision;
  }

  /**
   * The cloud's door found a doubt where the judgement had none, and nothing left: a decision of its own, once for all
   * choices of the request. Throws where it cannot be put on record.
   */
  atDoor(decision: Decision): Decision {
    const before = this.#atDoor.get(decision);
    if (before !== undefined) return before;
    const { route, targets } = decision.atDoor;
    const record = this.#records.get(decision);
    assert(record !== undefined, "a door is only reached by what was decided");
    const receipt = this.#ports.record({
      ...record,
      zone: route.zone,
      action: route.action,
      backend: targets[0]?.backend ?? null,
      rules: [...record.rules, DOUBT_AT_DOOR],
    });
    const evidence = [{ rule: DOUBT_AT_DOOR, class: route.class, where: "" }, ...decision.evidence];
    const after = { ...decision, route, targets, evidence, receipt };
    this.#atDoor.set(decision, after);
    return after;
  }

  #wanted(body: unknown): Wanted {
    const asked = (body as { readonly model?: unknown } | null | undefined)?.model;
    if (asked === undefined || asked === null) return { kind: "auto" };
    return typeof asked === "string" ? resolveModel(asked, this.#names()) : { kind: "unknown" };
  }

  #names(): Names {
    const { aliases, local, backends } = this.#ports;
    return { aliases, isInstalled: local.isInstalled, backends };
  }

  /** Servers that an operator set up beside this engine are meant to be used, so the engine's own models come last. */
  #facts(): readonly BackendFacts[] {
    const { backends, local } = this.#ports;
    const others = backends.map(({ name, zone, isUp, autoModel }) => ({
      name,
      zone,
      up: isUp(),
      autoNames: [`${name}/${autoModel}`],
    }));
    const own = local.autoModel();
    const autoNames = own === undefined ? [] : [own, `${LOCAL}/${own}`];
    return [...others, { name: LOCAL, zone: "onprem", up: own !== undefined && local.isUp(), autoNames }];
  }

  #targets(route: Route, wanted: Wanted): readonly Target[] {
    if (route.action === "refuse") return [];
    return route.backends.map((backend) => {
      if (wanted.kind === "named" && wanted.backend === backend) return { backend, model: wanted.model };
      const known = this.#ports.backends.find(({ name }) => name === backend);
      return { backend, model: known?.autoModel ?? this.#ports.local.autoModel() ?? "" };
    });
  }

  async #isReleasable(question: Question): Promise<boolean> {
    try {
      return await this.#ports.isReleasable(question.draft());
    } catch {
      return false;
    }
  }
}

const DOUBT_AT_DOOR = "egress.doubt";

/** In receipts, for an agent that the policy does not have; no agent can have this name. */
const UNKNOWN_AGENT = "(unknown)";

const keyPolicyOf = ({ policy: own, name }: Caller, { keys }: Policy): string | undefined =>
  own ?? (keys.has(name) ? name : undefined);

/** What the caller's requests are anyway: it need not be remembered of a conversation. */
const floorOf = ({ classFloor }: Caller, key: string | undefined, { keys }: Policy): DataClass =>
  maxClass(classFloor, key === undefined ? "public" : (keys.get(key)?.classFloor ?? "restricted"));

/** What raised the class beyond content and labels, as evidence. */
function raisedBy(
  final: DataClass,
  { class: content }: Classification,
  pinned: DataClass | undefined,
): readonly Evidence[] {
  const pin: readonly Evidence[] =
    pinned === undefined || pinned === "public"
      ? []
      : [{ rule: "pin.conversation", class: pinned, where: "" }];
  if (maxClass(content, pinned ?? "public") === final) return pin;
  return [{ rule: "policy.floor", class: final, where: "" }, ...pin];
}
