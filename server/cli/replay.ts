/** Past decisions by another policy: what each receipt's facts lead to, with every backend up. Nothing is classified anew. */
import { z } from "zod";
import { DATA_CLASSES, type DataClass } from "../../engine/core/data-class.ts";
import type { Policy, Zone } from "../../engine/core/policy.ts";
import type { Route, Wanted } from "../../engine/core/route.ts";
import { type Receipt, receiptId } from "../../engine/receipts/record.ts";
import { type BackendFacts, decideRoute } from "../../engine/routing/decide.ts";
import { LOCAL } from "../../engine/routing/model-names.ts";

export interface Outcome {
  readonly class: DataClass;
  readonly zone: Zone;
  readonly action: "serve" | "refuse";
}

export interface Change {
  readonly was: Outcome;
  readonly becomes: Outcome;
}

export interface ReplayPorts {
  readonly policy: Policy;
  /**
   * The policy in force. What it decided is decided by it again, so that only the policies make a difference, and not
   * what was down then.
   */
  readonly base: Policy;
  /** All up. */
  readonly backends: readonly BackendFacts[];
  /** Further names of models, as in the configuration. */
  readonly aliases: Readonly<Record<string, string>>;
}

export interface Replayed {
  readonly decisions: number;
  /** Of them, made by the very policy that is replayed. */
  readonly samePolicy: number;
  /** Not replayed: they lack a field, or name a backend that the configuration does not have. */
  readonly untold: number;
  readonly changed: number;
  /** The most frequent first. */
  readonly changes: readonly (Change & { readonly count: number })[];
}

const dataClass = z.enum(DATA_CLASSES);
/** Receipts of other versions of weir may lack what is needed here. */
const DecisionFacts = z.object({
  class: dataClass,
  content: dataClass,
  pinned: dataClass.nullable(),
  key: z.string().nullable(),
  agent: z.string().nullable(),
  wanted: z.union([z.literal(["auto", "unknown"]), z.object({ model: z.string(), backend: z.string() })]),
  zone: z.enum(["onprem", "cloud"]),
  action: z.enum(["serve", "refuse"]),
  policy: z.string(),
});
type DecisionFacts = z.infer<typeof DecisionFacts>;

export class Replay {
  readonly #ports: ReplayPorts;
  readonly #changes = new Map<string, Change & { count: number }>();
  #decisions = 0;
  #samePolicy = 0;
  #untold = 0;
  #changed = 0;

  constructor(ports: ReplayPorts) {
    this.#ports = ports;
  }

  /** What the policy would change about this one; undefined where nothing. */
  add(receipt: Receipt): (Change & { readonly receipt: string }) | undefined {
    if (receipt.kind !== "decision") return undefined;
    this.#decisions += 1;
    const parsed = DecisionFacts.safeParse(receipt.decision);
    const change = parsed.success ? this.#change(parsed.data) : "untold";
    if (change === "untold") this.#untold += 1;
    if (change === "untold" || change === undefined) return undefined;
    this.#changed += 1;
    const name = JSON.stringify(change);
    const known = this.#changes.get(name) ?? { ...change, count: 0 };
    known.count += 1;
    this.#changes.set(name, known);
    return { receipt: receiptId(receipt), ...change };
  }

  result(): Replayed {
    return {
      decisions: this.#decisions,
      samePolicy: this.#samePolicy,
      untold: this.#untold,
      changed: this.#changed,
      changes: [...this.#changes.values()].sort((a, b) => b.count - a.count),
    };
  }

  #change(decision: DecisionFacts): Change | "untold" | undefined {
    const { policy, base, backends } = this.#ports;
    if (decision.policy === policy.hash) {
      this.#samePolicy += 1;
      return undefined;
    }
    const { wanted } = decision;
    if (typeof wanted === "object" && !backends.some(({ name }) => name === wanted.backend)) return "untold";
    const was = decision.policy === base.hash ? this.#outcome(decision, base) : outcomeOf(decision);
    const becomes = this.#outcome(decision, policy);
    return JSON.stringify(was) === JSON.stringify(becomes) ? undefined : { was, becomes };
  }

  #outcome({ content, pinned, key, agent, wanted }: DecisionFacts, policy: Policy): Outcome {
    const facts = {
      class: content,
      pinned: pinned ?? undefined,
      keyPolicy: key ?? undefined,
      // Receipts do not say what a key itself was made for.
      keyModels: [],
      agent: agent ?? undefined,
      wanted: this.#wanted(wanted),
      backends: this.#ports.backends,
    };
    return outcomeOf(decideRoute(facts, policy));
  }

  #wanted(wanted: DecisionFacts["wanted"]): Wanted {
    if (typeof wanted === "string") return { kind: wanted };
    const { backend, model } = wanted;
    const own = backend === LOCAL ? [model, `${LOCAL}/${model}`] : [`${backend}/${model}`];
    const aliases = Object.entries(this.#ports.aliases)
      .filter(([, target]) => own.includes(target))
      .map(([alias]) => alias);
    return { kind: "named", backend, model, names: [...own, ...aliases] };
  }
}

const outcomeOf = ({ class: value, zone, action }: Outcome | Route): Outcome => ({
  class: value,
  zone,
  action,
});
