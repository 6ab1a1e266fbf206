/** What a client names as `model` -> the backend and model that it means. Pure. */
import type { Wanted } from "../core/route.ts";

/** The engine of this process; its models are the installed ones. */
export const LOCAL = "local";
const AUTO = "auto";

export interface NamedBackend {
  readonly name: string;
  /** As clients say them, behind `NAME/`. */
  readonly models: readonly string[];
  /** What `auto` gets of it. */
  readonly autoModel: string;
}

export interface Names {
  /** Further names: what clients may send -> any other name; one step, not a chain. */
  readonly aliases: Readonly<Record<string, string>>;
  readonly isInstalled: (model: string) => boolean;
  readonly backends: readonly NamedBackend[];
}

/**
 * `undefined` is `auto`. An installed model's own name wins over every other reading, because it keeps the request in the
 * house; then come aliases, `auto`, `local/NAME`, `BACKEND/NAME`.
 */
export function resolveModel(asked: string | undefined, names: Names): Wanted {
  if (asked === undefined) return { kind: "auto" };
  if (names.isInstalled(asked)) return named(LOCAL, asked, [asked]);
  const target = Object.hasOwn(names.aliases, asked) ? (names.aliases[asked] ?? asked) : asked;
  if (target === AUTO) return { kind: "auto" };
  const sent = target === asked ? [] : [asked];
  if (names.isInstalled(target)) return named(LOCAL, target, [target, ...sent]);
  const slash = target.indexOf("/");
  if (slash < 1) return { kind: "unknown" };
  const [first, model] = [target.slice(0, slash), target.slice(slash + 1)];
  if (first === LOCAL) {
    return names.isInstalled(model) ? named(LOCAL, model, [model, ...sent]) : { kind: "unknown" };
  }
  const backend = names.backends.find(({ name }) => name === first);
  if (backend === undefined || !backend.models.includes(model)) return { kind: "unknown" };
  return { kind: "named", backend: first, model, names: [target, ...sent] };
}

const named = (backend: string, model: string, names: readonly string[]): Wanted => ({
  kind: "named",
  backend,
  model,
  names: [...names, `${LOCAL}/${model}`],
});
