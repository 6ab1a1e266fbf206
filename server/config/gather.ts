/** Collects settings from the file, the environment and flags, and checks each on its own. */
import { dirname, resolve } from "node:path";
import type { SettingsFile } from "./file.ts";
import { LEAVES, type Leaf } from "./leaves.ts";
import { entryProblems, leafProblem, nearest, type Problem, unknownKey, valueAt } from "./problems.ts";
import type { Environment, FlagSetting, Origin } from "./types.ts";

/** An empty variable counts as not set, as container tools write them. */
export const set = (text: string | undefined): string | undefined =>
  text === undefined || text === "" ? undefined : text;

export type Tree = { [key: string]: unknown };

export interface Found {
  readonly leaf: Leaf | undefined;
  /** As written: below a leaf where the leaf is a map. */
  readonly path: string;
  readonly value: unknown;
  readonly origin: Origin;
}

export const leafAt = (path: string): Leaf | undefined => LEAVES.find((leaf) => leaf.path === path);

export function fromFile(file: SettingsFile | undefined): readonly Found[] {
  if (file === undefined) return [];
  return LEAVES.flatMap((leaf) => {
    const value = valueAt(file.tree, leaf.path);
    if (value === undefined) return [];
    return [{ leaf, path: leaf.path, value, origin: { kind: "file" as const, name: file.where(leaf.path) } }];
  });
}

export const fromEnvironment = (env: Environment): readonly Found[] =>
  LEAVES.flatMap((leaf) => {
    const text = leaf.env === undefined ? undefined : set(env[leaf.env]);
    if (leaf.env === undefined || text === undefined) return [];
    return [{ leaf, path: leaf.path, value: text, origin: { kind: "environment" as const, name: leaf.env } }];
  });

export const fromFlags = (flags: readonly FlagSetting[]): readonly Found[] =>
  flags.map(({ path, text, flag }) => ({
    leaf: leafAt(path),
    path,
    value: text,
    origin: { kind: "flag" as const, name: flag },
  }));

/** Keys that no leaf knows, and sections that are not maps. An empty section (`server:`) is fine. */
export function unknownInFile(file: SettingsFile | undefined): readonly Problem[] {
  if (file === undefined || file.tree === undefined) return [];
  const walk = (node: unknown, section: string): readonly Problem[] => {
    if (node === null) return [];
    if (typeof node !== "object" || Array.isArray(node)) {
      const what = section === "" ? "a configuration" : "this section";
      return [{ path: section, where: file.where(section), message: `${what} must be a map of settings` }];
    }
    return Object.entries(node).flatMap(([key, child]) => {
      const path = section === "" ? key : `${section}.${key}`;
      if (leafAt(path) !== undefined) return [];
      const known = LEAVES.some((leaf) => leaf.path.startsWith(`${path}.`));
      return known
        ? walk(child, path)
        : [{ path, where: file.where(path), message: unknownKey(section, key) }];
    });
  };
  return walk(file.tree, "");
}

export function unknownSetting(path: string): string {
  const near = nearest(
    path,
    LEAVES.map((leaf) => leaf.path),
  );
  return `is not a setting of weir${near === undefined ? "; `weir config show` lists them" : `; did you mean ${near}?`}`;
}

export type Parsed =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly problems: readonly LeafProblem[] };

export interface LeafProblem {
  /** Keys below the leaf, where it is a map. */
  readonly below: readonly string[];
  readonly message: string;
}

/** Environment and flags bring text: what the schema does not take as text is tried as a number or a truth. */
export function parseLeaf(leaf: Leaf, value: unknown, isText: boolean): Parsed {
  const failed = (message: string, below: readonly string[] = []) => ({ below, message });
  if (isText && leaf.isMap)
    return { ok: false, problems: [failed("is a map and can only be set in the file")] };
  const other = isText ? notText(String(value).trim()) : undefined;
  for (const candidate of other === undefined ? [value] : [value, other]) {
    const parsed = leaf.schema.safeParse(candidate);
    // An optional leaf takes undefined, but never null: `keys_file:` with nothing behind it is a slip.
    if (parsed.success) return { ok: true, value: parsed.data };
  }
  const shownValue = other ?? value;
  const issues = leaf.schema.safeParse(shownValue).error?.issues ?? [];
  const [issue] = issues;
  if (issue === undefined) return { ok: false, problems: [failed("is not valid")] };
  if (!leaf.isMap || issue.path.length === 0)
    return { ok: false, problems: [failed(leafProblem(leaf, shownValue, issue))] };
  return {
    ok: false,
    problems: issues.flatMap((each) =>
      entryProblems(each).map(({ below, message }) => failed(message, below)),
    ),
  };
}

function notText(text: string): number | boolean | undefined {
  if (/^-?\d+(\.\d+)?$/.test(text)) return Number(text);
  return text === "true" || text === "false" ? text === "true" : undefined;
}

export function put(tree: Tree, path: string, value: unknown): void {
  const keys = path.split(".");
  const last = keys.pop() ?? path;
  let at = tree;
  for (const key of keys) {
    at[key] ??= {};
    at = at[key] as Tree;
  }
  at[last] = value;
}

/** A path in the file is relative to the file; one from the environment or a flag to the working folder. */
export const absolute = (path: string, origin: Origin, file: SettingsFile | undefined, cwd: string): string =>
  resolve(origin.kind === "file" && file !== undefined ? dirname(file.path) : cwd, path);

/** Variables that look like a slip of one of ours. Other WEIR_ variables are let be: Kubernetes makes some for a service. */
export function oddVariables(env: Environment): readonly Problem[] {
  const known = [...LEAVES.flatMap((leaf) => leaf.env ?? []), "WEIR_HOME", "WEIR_CONFIG", "WEIR_DEBUG"];
  return Object.keys(env)
    .filter((name) => name.startsWith("WEIR_") && !known.includes(name))
    .flatMap((name) => {
      const near = nearest(name, known);
      const kubernetes = /_(PORT|SERVICE_HOST|SERVICE_PORT|TCP|UDP|PROTO|ADDR)(_|$)/.test(name);
      if (near === undefined || kubernetes) return [];
      return [{ path: "", where: `environment ${name}`, message: `is not read; did you mean ${near}?` }];
    });
}
