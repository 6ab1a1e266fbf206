/** Reads the parts of a Dockerfile and a .dockerignore that this project uses; anything else is an error, not a guess. */

export type Instruction =
  | { readonly kind: "from"; readonly image: string; readonly name: string | undefined }
  | { readonly kind: "workdir" | "volume" | "user" | "expose"; readonly value: string }
  | {
      readonly kind: "copy";
      readonly from: string | undefined;
      readonly sources: readonly string[];
      readonly to: string;
    }
  | { readonly kind: "run"; readonly script: string }
  | { readonly kind: "env"; readonly variables: readonly (readonly [string, string])[] }
  | { readonly kind: "healthcheck" | "cmd"; readonly argv: readonly string[] };

export interface Step {
  /** As written, on one line. */
  readonly text: string;
  readonly line: number;
  readonly instruction: Instruction;
}

export function parseDockerfile(text: string): readonly Step[] {
  const steps: Step[] = [];
  let pending = "";
  let startLine = 0;
  for (const [index, raw] of text.split("\n").entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    if (pending === "") startLine = index + 1;
    pending += line;
    if (pending.endsWith("\\")) {
      pending = pending.slice(0, -1);
      continue;
    }
    const joined = pending.replace(/ {2,}/g, " ");
    steps.push({ text: joined, line: startLine, instruction: parseInstruction(joined, startLine) });
    pending = "";
  }
  return steps;
}

function parseInstruction(text: string, line: number): Instruction {
  const [verb = "", rest = ""] = splitOnce(text, " ");
  switch (verb) {
    case "FROM": {
      const [image = "", , name] = rest.split(" ");
      return { kind: "from", image, name };
    }
    case "WORKDIR":
      return { kind: "workdir", value: rest };
    case "VOLUME":
      return { kind: "volume", value: rest };
    case "USER":
      return { kind: "user", value: rest };
    case "EXPOSE":
      return { kind: "expose", value: rest };
    case "COPY": {
      const words = rest.split(" ");
      const from = words[0]?.startsWith("--from=") ? words.shift()?.slice("--from=".length) : undefined;
      const to = words.pop() ?? "";
      return { kind: "copy", from, sources: words, to };
    }
    case "RUN":
      return { kind: "run", script: rest };
    case "ENV":
      return {
        kind: "env",
        variables: rest.split(" ").map((pair) => {
          const [name = "", value = ""] = splitOnce(pair, "=");
          return [name, value] as const;
        }),
      };
    case "HEALTHCHECK":
      return { kind: "healthcheck", argv: argvOf(rest.slice(rest.indexOf("CMD ") + 4), line) };
    case "CMD":
      return { kind: "cmd", argv: argvOf(rest, line) };
    default:
      throw new Error(
        `Dockerfile:${line}: this check does not know ${verb}; teach it in scripts/image/dockerfile.ts`,
      );
  }
}

function splitOnce(text: string, separator: string): readonly [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + separator.length).trim()];
}

function argvOf(json: string, line: number): readonly string[] {
  const value: unknown = JSON.parse(json);
  if (Array.isArray(value) && value.every((word) => typeof word === "string")) return value;
  throw new Error(`Dockerfile:${line}: write the command as a JSON array of strings`);
}

/** Whether the build context holds the path: the last pattern that matches it, or a folder above it, decides. */
export function ignoreRules(text: string): (path: string) => boolean {
  const rules = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const pattern = line.replace(/^!/, "").replace(/\/$/, "");
      const source = pattern
        .split("**/")
        .map((part) => part.replace(/[.+^${}()|[\]\\]/g, "\\$&").replace(/\*/g, "[^/]*"))
        .join("(?:.*/)?");
      return { keep: line.startsWith("!"), matches: new RegExp(`^${source}(?:/|$)`) };
    });
  return (path) => rules.findLast((rule) => rule.matches.test(path))?.keep ?? true;
}
