/**
 * How much a template's value is when it is written out. Lists and dicts share their parts, so forty doublings of a list
 * that holds itself twice (`[t, t]`) take no room, and no end of time to print.
 */

/** What Jinja's interpreter calls a runtime value: its parts are such values too. */
export interface TemplateValue {
  readonly type?: string;
  readonly value: unknown;
}

export class TemplateWeights {
  /** Lists and dicts never change once they are made; only namespaces do. */
  readonly #known = new WeakMap<object, number>();

  /** About the characters that it takes; infinite where a namespace is part of something: no model's template does that. */
  of(value: TemplateValue): number {
    if (typeof value.value === "string") return value.value.length;
    const parts = partsOf(value.value);
    if (parts === undefined) return 1;
    const changes = isNamespace(value);
    const known = changes ? undefined : this.#known.get(value);
    if (known !== undefined) return known;
    let weight = 1;
    for (const part of parts) weight += isNamespace(part) ? Number.POSITIVE_INFINITY : 1 + this.of(part);
    if (!changes) this.#known.set(value, weight);
    return weight;
  }
}

const isNamespace = ({ type }: TemplateValue): boolean => type === "NamespaceValue";

function partsOf(value: unknown): Iterable<TemplateValue> | undefined {
  if (Array.isArray(value)) return value;
  return value instanceof Map ? value.values() : undefined;
}
