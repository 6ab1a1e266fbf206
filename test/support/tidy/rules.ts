/** The rules as pure functions: facts in, complaints out. Each complaint says where, what, and what to do instead. */
import { FOLDERS, type FolderRule, OUTSIDE, PLACES, SHORT } from "./house.ts";
import type { ImportFact, SourceFacts } from "./source.ts";

export type Complaint = string;

const complain = (path: string, line: number, problem: string): Complaint => `${path}:${line}  ${problem}`;

/** True where `path` is `place` or lies in it. */
const within = (path: string, place: string): boolean =>
  place === "*" || path === place || path.startsWith(`${place}/`);

const withinAny = (path: string, places: readonly string[]): boolean =>
  places.some((place) => within(path, place));

/** The longest folder that holds the file; undefined = the house does not know the folder. */
function folderRule(path: string): FolderRule | undefined {
  return FOLDERS.filter((rule) => within(path, rule.folder)).sort(
    (a, b) => b.folder.length - a.folder.length,
  )[0];
}

function importProblem(rule: FolderRule, fact: ImportFact): string | undefined {
  const target = `\`${fact.target}\``;
  switch (fact.kind) {
    case "node":
      if (rule.node === "any" || fact.typeOnly) return undefined;
      return `${rule.folder} is pure and imports no node module (${target}): take what you need as an argument`;
    case "package":
      if (withinAny(fact.target, rule.packages)) return undefined;
      return `${rule.folder} may not import the package ${target}: take a port, or add it to the table with its reason`;
    case "house": {
      const home = rule.folder.endsWith(".ts") ? rule.folder.replace(/\/[^/]*$/, "") : rule.folder;
      if (within(fact.target, home) || withinAny(fact.target, rule.house)) return undefined;
      if (withinAny(fact.target, rule.typesOnly ?? [])) {
        return fact.typeOnly
          ? undefined
          : `${rule.folder} may import only types of ${target}: \`import type\``;
      }
      return `${rule.folder} may not import ${target}: move the shared noun to engine/core, or take a port as an argument`;
    }
  }
}

export function importComplaints(facts: SourceFacts): readonly Complaint[] {
  if (!facts.path.includes("/")) return []; // configuration files of tools in the root
  const rule = folderRule(facts.path);
  if (rule === undefined) {
    return [complain(facts.path, 1, "no rule for this folder: add it to test/support/tidy/house.ts")];
  }
  return facts.imports.flatMap((fact) => {
    const problem = importProblem(rule, fact);
    return problem === undefined ? [] : [complain(facts.path, fact.line, problem)];
  });
}

export function placeComplaints(facts: SourceFacts): readonly Complaint[] {
  if (withinAny(facts.path, OUTSIDE)) return [];
  return PLACES.filter((place) => !withinAny(facts.path, place.allowed)).flatMap((place) => {
    const lines = [
      ...facts.imports.filter(
        (fact) =>
          !fact.typeOnly &&
          place.packages?.includes(fact.target) &&
          fact.names?.every((name) => place.harmless?.includes(name)) !== true,
      ),
      ...facts.expressions.filter((fact) => place.expressions?.includes(fact.name)),
    ].map((fact) => fact.line);
    const where = place.allowed.length === 0 ? "nowhere" : `only in ${place.allowed.join(", ")}`;
    return [...new Set(lines)].map((line) =>
      complain(facts.path, line, `${place.what} is allowed ${where}: ${place.instead}`),
    );
  });
}

export function lengthComplaints(facts: SourceFacts): readonly Complaint[] {
  if (!withinAny(facts.path, SHORT.folders)) return [];
  const long = facts.functions
    .filter((each) => each.lines > SHORT.functionLinesMax)
    .map((each) =>
      complain(
        facts.path,
        each.line,
        `function ${each.name} has ${each.lines} lines, at most ${SHORT.functionLinesMax}: give its parts names`,
      ),
    );
  if (facts.lineCount <= SHORT.fileLinesMax) return long;
  const file = complain(
    facts.path,
    facts.lineCount,
    `the file has ${facts.lineCount} lines, at most ${SHORT.fileLinesMax}: split it by purpose`,
  );
  return [file, ...long];
}

/** In tests the linter asks for a reason instead: an answer that only a schema judges may be `any` there. */
export function anyComplaints(facts: SourceFacts): readonly Complaint[] {
  if (withinAny(facts.path, OUTSIDE)) return [];
  return facts.anyLines.map((line) =>
    complain(facts.path, line, "`any` switches the types off: use `unknown` and narrow it"),
  );
}

const FOCUSABLE = ["test", "it", "describe", "suite", "bench"];

export function focusComplaints(facts: SourceFacts): readonly Complaint[] {
  const focused = new Set(FOCUSABLE.map((name) => `${name}.only`));
  return facts.expressions
    .filter((fact) => focused.has(fact.name))
    .map((fact) =>
      complain(facts.path, fact.line, `\`${fact.name}\` silences all other tests: run one file instead`),
    );
}

interface TextRule {
  readonly pattern: RegExp;
  readonly problem: string;
}

// The words are put together here, so that this file does not complain of itself.
const UNDONE = ["TO" + "DO", "FIX" + "ME", "X" + "XX"].join("|");
const MACHINE = ["work", "root", "home", "tmp", "Users", "farm"].join("|");

const TEXT_RULES: readonly TextRule[] = [
  {
    pattern: new RegExp(`\\b(?:${UNDONE})\\b`),
    problem: "a note of undone work: do it, or open an issue and say in plain words what the code does now",
  },
  {
    pattern: new RegExp(`(?<![\\w.~/})$*-])/(?:${MACHINE})(?=/|["'\`\\s,;:)]|$)`),
    problem:
      "a path of one machine: make it relative to the project, or ask the system (os.tmpdir, os.homedir)",
  },
  {
    pattern: /^(?:<{7}|>{7}) /,
    problem: "a conflict marker: finish the merge",
  },
];

export function textComplaints(path: string, text: string): readonly Complaint[] {
  return text
    .split("\n")
    .flatMap((line, index) =>
      TEXT_RULES.filter((rule) => rule.pattern.test(line)).map((rule) =>
        complain(path, index + 1, rule.problem),
      ),
    );
}

/** Of tests only the kinds count (`test/unit`), not how they are sorted inside. */
const folderOf = (path: string): string =>
  path
    .split("/")
    .slice(0, path.startsWith("test/") ? Math.min(2, path.split("/").length - 1) : -1)
    .join("/");

/** Every folder that holds source must be named, by its path from the root, in the map of the house. */
export function mapComplaints(sources: readonly string[], architecture: string): readonly Complaint[] {
  const folders = new Set(sources.map(folderOf).filter((folder) => folder !== "" && folder !== "test"));
  return [...folders]
    .filter((folder) => !architecture.includes(`${folder}/`))
    .map((folder) => `ARCHITECTURE.md:1  does not mention \`${folder}/\`: say in one line what it is for`);
}

export const sourceComplaints = (facts: SourceFacts): readonly Complaint[] => [
  ...facts.problems.map((problem) => complain(facts.path, 1, problem)),
  ...importComplaints(facts),
  ...placeComplaints(facts),
  ...lengthComplaints(facts),
  ...anyComplaints(facts),
  ...focusComplaints(facts),
];
