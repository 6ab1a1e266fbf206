import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { ignoreRules, parseDockerfile } from "../../../scripts/image/dockerfile.ts";

const read = (name: string): string => readFileSync(new URL(`../../../${name}`, import.meta.url), "utf8");

describe("the Dockerfile", () => {
  const steps = parseDockerfile(read("Dockerfile"));
  const last = steps.slice(steps.findLastIndex((step) => step.instruction.kind === "from"));
  const find = (kind: string) => last.find((step) => step.instruction.kind === kind)?.instruction;

  test("names the version of its base image", () => {
    const images = steps.flatMap((step) =>
      step.instruction.kind === "from" ? [step.instruction.image] : [],
    );
    for (const image of images) expect(image).toMatch(/^node:\d+[^:]*$/);
  });

  test("ends in a user that is not root, a volume, a health check and the server", () => {
    expect(find("user")).toEqual({ kind: "user", value: "1000:1000" });
    expect(find("volume")).toEqual({ kind: "volume", value: "/var/lib/weir" });
    expect(find("healthcheck")).toMatchObject({ argv: ["node", "-e", expect.stringContaining("/health")] });
    expect(find("cmd")).toEqual({ kind: "cmd", argv: ["node", "server/main.ts", "serve"] });
  });

  test("sends the product to the build and nothing else", () => {
    const kept = ignoreRules(read(".dockerignore"));
    const paths = ["server/main.ts", "models/resident/weir.json", "package-lock.json", "NOTICE"];
    expect(paths.filter((path) => !kept(path))).toEqual([]);
    const others = [
      ".git/config",
      "node_modules/a/index.js",
      "test/tidy.test.ts",
      "models/resident/train/train.py",
    ];
    expect([...others, "keys.txt", "models/a/__pycache__/b.pyc"].filter(kept)).toEqual([]);
  });
});

describe("the reader of Dockerfiles", () => {
  test("joins continued lines and keeps the number of the first", () => {
    expect(parseDockerfile("# head\nRUN one \\\n    two\n")).toEqual([
      { text: "RUN one two", line: 2, instruction: { kind: "run", script: "one two" } },
    ]);
  });

  test("refuses what it does not know, rather than skip it", () => {
    expect(() => parseDockerfile("FROM a\nADD b c")).toThrow(/Dockerfile:2: .*ADD/);
    expect(() => parseDockerfile("CMD node server")).toThrow();
  });
});
