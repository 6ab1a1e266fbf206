/** A source file as the rules see it: its imports, the expressions that matter, its functions, each with a line. */
import { posix } from "node:path";
import { type ParserOptions, parseSync, Visitor, type VisitorObject } from "oxc-parser";

export interface ImportFact {
  readonly line: number;
  /** A path from the root of the house, an npm package's name, or `node:...`. */
  readonly target: string;
  readonly kind: "house" | "package" | "node";
  /** True where nothing of it is left at run time. */
  readonly typeOnly: boolean;
  /** What is imported by name; undefined where it is the whole module. */
  readonly names: readonly string[] | undefined;
}

export interface NamedLine {
  readonly line: number;
  readonly name: string;
}

export interface FunctionFact extends NamedLine {
  readonly lines: number;
}

export interface SourceFacts {
  readonly path: string;
  readonly lineCount: number;
  readonly imports: readonly ImportFact[];
  /** Member reads and calls as `a.b`, `f()`, `new C()`; `new Date` with arguments is left out, it only converts. */
  readonly expressions: readonly NamedLine[];
  readonly functions: readonly FunctionFact[];
  readonly anyLines: readonly number[];
  readonly problems: readonly string[];
}

const packageName = (specifier: string): string =>
  specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");

function classify(path: string, specifier: string): Pick<ImportFact, "target" | "kind"> {
  if (specifier.startsWith("node:")) return { kind: "node", target: specifier };
  if (specifier.startsWith(".")) return { kind: "house", target: posix.join(posix.dirname(path), specifier) };
  return { kind: "package", target: packageName(specifier) };
}

/** Line numbers from 1, by binary search over the starts of lines. */
function lineFinder(text: string): (offset: number) => number {
  const starts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  return (offset) => {
    let low = 0;
    let high = starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (starts[middle]! <= offset) low = middle;
      else high = middle;
    }
    return low + 1;
  };
}

interface Spot {
  readonly start: number;
  readonly end: number;
}

const nameOf = (node: unknown): string | undefined => {
  const { type, name } = node as { readonly type?: string; readonly name?: string };
  return type === "Identifier" ? name : undefined;
};

/** Gathers the facts while the tree is walked. */
class Collector {
  readonly imports: ImportFact[] = [];
  readonly expressions: NamedLine[] = [];
  readonly functions: FunctionFact[] = [];
  readonly anyLines: number[] = [];
  readonly #path: string;
  readonly #lineAt: (offset: number) => number;

  constructor(path: string, text: string) {
    this.#path = path;
    this.#lineAt = lineFinder(text);
  }

  import(spot: Spot, specifier: unknown, typeOnly: boolean, names?: readonly string[]): void {
    if (typeof specifier !== "string") return;
    const line = this.#lineAt(spot.start);
    this.imports.push({ line, typeOnly, names, ...classify(this.#path, specifier) });
  }

  expression(spot: Spot, name: string): void {
    this.expressions.push({ line: this.#lineAt(spot.start), name });
  }

  function(spot: Spot, name: string | undefined): void {
    const line = this.#lineAt(spot.start);
    this.functions.push({ line, name: name ?? "(unnamed)", lines: this.#lineAt(spot.end) - line + 1 });
  }

  any(spot: Spot): void {
    this.anyLines.push(this.#lineAt(spot.start));
  }
}

const importVisits = (found: Collector): VisitorObject => ({
  ImportDeclaration(node) {
    const named = node.specifiers.filter(
      (each) => each.type === "ImportSpecifier" && each.importKind === "type",
    );
    const onlyTypes = named.length > 0 && named.length === node.specifiers.length;
    const names = node.specifiers.map((each) =>
      each.type === "ImportSpecifier" ? nameOf(each.imported) : undefined,
    );
    const known = names.length > 0 && names.every((name) => name !== undefined);
    found.import(node, node.source.value, node.importKind === "type" || onlyTypes, known ? names : undefined);
  },
  ExportNamedDeclaration(node) {
    if (node.source !== null) found.import(node, node.source.value, node.exportKind === "type");
  },
  ExportAllDeclaration(node) {
    found.import(node, node.source.value, node.exportKind === "type");
  },
  ImportExpression(node) {
    if (node.source.type === "Literal") found.import(node, node.source.value, false);
  },
  TSImportType(node) {
    found.import(node, node.source.value, true);
  },
});

const expressionVisits = (found: Collector): VisitorObject => ({
  MemberExpression(node) {
    const object = nameOf(node.object);
    const literal = node.property.type === "Literal" ? node.property.value : undefined;
    const property = node.computed ? literal : nameOf(node.property);
    if (object !== undefined && typeof property === "string") found.expression(node, `${object}.${property}`);
  },
  VariableDeclarator(node) {
    const from = node.init === null ? undefined : nameOf(node.init);
    if (from === undefined || node.id.type !== "ObjectPattern") return;
    for (const property of node.id.properties) {
      const key = property.type === "Property" ? nameOf(property.key) : undefined;
      if (key !== undefined) found.expression(property, `${from}.${key}`);
    }
  },
  CallExpression(node) {
    const callee = nameOf(node.callee);
    const first = node.arguments[0];
    if (callee === "require" && first?.type === "Literal") found.import(node, first.value, false);
    else if (callee !== undefined) found.expression(node, `${callee}()`);
  },
  NewExpression(node) {
    const callee = nameOf(node.callee);
    const converts = callee === "Date" && node.arguments.length > 0; // without arguments it reads the clock
    if (callee !== undefined && !converts) found.expression(node, `new ${callee}()`);
  },
});

const shapeVisits = (found: Collector): VisitorObject => ({
  FunctionDeclaration(node) {
    found.function(node, node.id?.name);
  },
  FunctionExpression(node) {
    found.function(node, node.id?.name);
  },
  ArrowFunctionExpression(node) {
    found.function(node, undefined);
  },
  TSAnyKeyword(node) {
    found.any(node);
  },
});

export function readSource(path: string, text: string): SourceFacts {
  const lang: ParserOptions["lang"] = path.endsWith(".ts") ? "ts" : "js";
  const parsed = parseSync(path, text, { lang, sourceType: "module" });
  const found = new Collector(path, text);
  new Visitor({ ...importVisits(found), ...expressionVisits(found), ...shapeVisits(found) }).visit(
    parsed.program,
  );
  return {
    path,
    lineCount: text.split("\n").length - (text.endsWith("\n") ? 1 : 0),
    imports: found.imports,
    expressions: found.expressions,
    functions: found.functions,
    anyLines: found.anyLines,
    problems: parsed.errors.map((error) => error.message),
  };
}
