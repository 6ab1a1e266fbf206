/**
 * A look at a parsed body's shape before any schema sees it: neither depth nor width may be absurd. Schemas collect one
 * issue per wrong element, so a body of a million zeros would otherwise cost a million issues.
 */
import { WeirError } from "../../engine/core/errors.ts";

const DEPTH_MAX = 64;
const NODES_MAX = 100_000;

/** `skip` names top-level fields that their own parsers bound: the long lists of token ids. */
export function checkStructure(body: unknown, skip: ReadonlySet<string>): void {
  let nodes = 0;
  const pending: { value: unknown; depth: number }[] = [{ value: body, depth: 0 }];
  for (let item = pending.pop(); item !== undefined; item = pending.pop()) {
    const { value, depth } = item;
    if (typeof value !== "object" || value === null) continue;
    if (depth >= DEPTH_MAX) throw tooLarge(`is nested more than ${DEPTH_MAX} levels deep`);
    const children = Array.isArray(value) ? value : childrenOf(value, depth === 0 ? skip : undefined);
    nodes += children.length;
    if (nodes > NODES_MAX) throw tooLarge(`holds more than ${NODES_MAX} values outside of its prompt`);
    for (const child of children) {
      if (typeof child === "object" && child !== null) pending.push({ value: child, depth: depth + 1 });
    }
  }
}

function childrenOf(value: object, skip: ReadonlySet<string> | undefined): readonly unknown[] {
  if (skip === undefined) return Object.values(value);
  return Object.entries(value).flatMap(([key, child]) => (skip.has(key) ? [] : [child]));
}

const tooLarge = (what: string): WeirError =>
  new WeirError("invalid_request", `The request body ${what}; send a simpler one.`);
