/** The house keeps itself: import table, dangerous modules, lengths, leftovers. Each rule is also shown to fire. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import {
  anyComplaints,
  focusComplaints,
  importComplaints,
  lengthComplaints,
  mapComplaints,
  placeComplaints,
  sourceComplaints,
  textComplaints,
} from "./support/tidy/rules.ts";
import { readSource, type SourceFacts } from "./support/tidy/source.ts";
import { readTree } from "./support/tidy/tree.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const files = readTree(root);
const isSource = (path: string): boolean => /\.(?:ts|js|mjs)$/.test(path);
const sources = files.filter((file) => isSource(file.path));
const from = (path: string, ...lines: string[]): SourceFacts => readSource(path, lines.join("\n"));

describe("the tree", () => {
  test("is found and not empty", () => {
    expect(sources.map((file) => file.path)).toContain("engine/core/step.ts");
    expect(files.map((file) => file.path)).toContain("README.md");
  });

  test("keeps the rules on imports, places, lengths, any and focused tests", () => {
    expect(sources.flatMap((file) => sourceComplaints(readSource(file.path, file.text)))).toEqual([]);
  });

  test("holds no notes of undone work, no paths of a machine, no conflict markers", () => {
    expect(files.flatMap((file) => textComplaints(file.path, file.text))).toEqual([]);
  });

  test("is on the map: ARCHITECTURE.md mentions every folder with source in it", () => {
    const architecture = readFileSync(new URL("../ARCHITECTURE.md", import.meta.url), "utf8");
    expect(
      mapComplaints(
        sources.map((file) => file.path),
        architecture,
      ),
    ).toEqual([]);
  });
});

describe("the import rule", () => {
  test("keeps core alone, with its file, line and a way out", () => {
    const facts = from("engine/core/a.ts", "", 'import { x } from "../scheduler/x.ts";');
    expect(importComplaints(facts)).toEqual([
      "engine/core/a.ts:2  engine/core may not import `engine/scheduler/x.ts`: " +
        "move the shared noun to engine/core, or take a port as an argument",
    ]);
  });

  test.each([
    ["engine/core/a.ts", 'import { z } from "zod";'],
    ["engine/core/a.ts", 'import { readFileSync } from "node:fs";'],
    ["engine/scheduler/a.ts", 'import { x } from "../local/x.ts";'],
    ["engine/scheduler/a.ts", 'export { x } from "../lanes/x.ts";'],
    ["engine/scheduler/a.ts", 'export * from "../lanes/x.ts";'],
    ["engine/scheduler/a.ts", 'const x = await import("../lanes/x.ts");'],
    ["engine/scheduler/a.ts", 'type X = import("../lanes/x.ts").X;'],
    ["engine/lanes/a.ts", 'import { x } from "../worker/protocol.ts";'],
    ["engine/lanes/a.ts", 'import { type X, y } from "../worker/protocol.ts";'],
    ["engine/lanes/a.ts", 'import type { X } from "../worker/sampler.ts";'],
    ["engine/metering/a.ts", 'import { x } from "../routing/x.ts";'],
    ["models/a.ts", 'import { x } from "../engine/worker/x.ts";'],
    ["server/routes/a.ts", 'import { x } from "../../engine/local/x.ts";'],
    ["server/routes/a.ts", 'const x = require("piscina");'],
    ["new-folder/a.ts", "export {};"],
  ])("refuses in %s: %s", (path, line) => {
    expect(importComplaints(from(path, line))).toHaveLength(1);
  });

  test.each([
    ["engine/core/a.ts", 'import { x } from "./x.ts";'],
    ["engine/scheduler/a.ts", 'import { x } from "../core/x.ts";'],
    ["engine/lanes/a.ts", 'import type { X } from "../worker/protocol.ts";'],
    ["engine/lanes/a.ts", 'import { type X } from "../worker/protocol.ts";'],
    ["engine/local/a.ts", 'import { x } from "../lanes/x.ts";'],
    ["server/compose.ts", 'import { x } from "../engine/local/x.ts";'],
    ["test/unit/a.test.ts", 'import { x } from "../../engine/worker/x.ts";'],
  ])("allows in %s: %s", (path, line) => {
    expect(importComplaints(from(path, line))).toEqual([]);
  });
});

describe("the rule on places", () => {
  test.each([
    ["engine/lanes/a.ts", 'import koffi from "koffi";'],
    ["engine/local/a.ts", 'import { Piscina } from "piscina";'],
    ["server/routes/a.ts", 'import { Counter } from "prom-client";'],
    ["engine/metering/a.ts", 'import { Counter } from "prom-client";'],
    ["server/compose.ts", "const home = process.env.HOME;"],
    ["server/compose.ts", 'const home = process["env"];'],
    ["server/compose.ts", "const { env } = process;"],
    ["server/compose.ts", 'import { env } from "node:process";'],
    ["engine/scheduler/a.ts", "const now = Date.now();"],
    ["engine/scheduler/a.ts", "const now = performance.now;"],
    ["engine/scheduler/a.ts", "const now = new Date();"],
    ["engine/local/a.ts", "const now = process.hrtime.bigint();"],
    ["engine/worker/sampler.ts", "const draw = Math.random();"],
    ["models/catalog.ts", 'import { request } from "undici";'],
    ["server/routes/a.ts", 'const answer = await fetch("x");'],
    ["server/routes/a.ts", 'import { request } from "node:http";'],
    ["models/hub/door.ts", 'import { request } from "undici";'],
    ["engine/cloud/a.ts", 'import { request } from "undici";'],
    ["engine/cloud/a.ts", 'import { isIP, connect } from "node:net";'],
    ["engine/cloud/a.ts", 'import * as net from "node:net";'],
    ["engine/cloud/a.ts", 'import net from "node:net";'],
    ["engine/cloud/a.ts", 'import "node:net";'],
    ["server/compose.ts", 'import { lookup } from "node:dns/promises";'],
    ["engine/cloud/providers/a.ts", 'const proof = provePublic(bytes, "public");'],
    ["server/compose.ts", "const command = operatorCommand();"],
  ])("refuses in %s: %s", (path, line) => {
    expect(placeComplaints(from(path, line))).toHaveLength(1);
  });

  test.each([
    ["engine/worker/ort/a.ts", 'import koffi from "koffi";'],
    ["engine/lanes/a.ts", 'import { Piscina } from "piscina";'],
    ["server/config.ts", "const home = process.env.HOME;"],
    ["server/routes/a.ts", 'import type { IncomingMessage } from "node:http";'],
    ["server/routes/a.ts", "const day = new Date(card.createdAt);"],
    ["engine/cloud/egress.ts", 'import { request } from "undici";'],
    ["engine/cloud/a.ts", 'import { BlockList, isIP } from "node:net";'],
    ["server/cli/models.ts", "const command = operatorCommand();"],
    ["test/e2e/a.test.ts", 'const answer = await fetch("x"); Date.now(); process.env.HOME;'],
  ])("allows in %s: %s", (path, line) => {
    expect(placeComplaints(from(path, line))).toEqual([]);
  });

  test("does not see words in comments and strings", () => {
    const facts = from("engine/core/a.ts", "// Date.now() is not used", 'export const a = "process.env";');
    expect(placeComplaints(facts)).toEqual([]);
  });
});

describe("the other rules", () => {
  const repeat = (line: string, count: number): string[] => Array.from({ length: count }, () => line);

  test("a file may have 400 lines, not 401", () => {
    expect(lengthComplaints(from("engine/core/a.ts", ...repeat("//", 400)))).toEqual([]);
    expect(lengthComplaints(from("engine/core/a.ts", ...repeat("//", 401)))).toHaveLength(1);
    expect(lengthComplaints(from("test/unit/a.ts", ...repeat("//", 401)))).toEqual([]);
  });

  test.each(["function f() {", "const f = () => {", "class C { m() {"])(
    "a function may have 90 lines, not 91: %s",
    (head) => {
      const close = head.startsWith("class") ? "} }" : "}";
      expect(lengthComplaints(from("models/a.ts", head, ...repeat("//", 88), close))).toEqual([]);
      expect(lengthComplaints(from("models/a.ts", head, ...repeat("//", 89), close))).toHaveLength(1);
    },
  );

  test("any is refused, the word is not", () => {
    expect(anyComplaints(from("server/a.ts", "let a: any;", "const any = 1;"))).toEqual([
      "server/a.ts:1  `any` switches the types off: use `unknown` and narrow it",
    ]);
  });

  test.each(["test.only", "it.only", "describe.only"])("%s is refused", (name) => {
    expect(focusComplaints(from("test/unit/a.test.ts", `${name}("a", () => {});`))).toHaveLength(1);
  });

  test("a file that does not parse is named", () => {
    expect(sourceComplaints(from("engine/core/a.ts", "const = 1;"))).toHaveLength(1);
  });

  test.each([
    `// ${"TO"}${"DO"}: later`,
    `# ${"FIX"}${"ME"}`,
    `const a = "${"/wo"}${"rk/a"}";`,
    `see ${"/ro"}${"ot"}`,
    `cp a ${"/t"}${"mp/b"}`,
    `${"<".repeat(7)} HEAD`,
  ])("a line like %j is refused", (line) => {
    expect(textComplaints("README.md", `first\n${line}`)).toHaveLength(1);
    expect(textComplaints("README.md", `first\n${line}`)[0]).toMatch(/^README\.md:2 {2}/);
  });

  test.each([
    "see docs/work/plan.md and ./tmp/a and ~/home/x",
    "https://example.org/home/page",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a shell line, not a template
    "cp a ${dir}/tmp/b",
    "mktemp -d a.XXXXXX",
    "the root of the house",
  ])("a line like %j passes", (line) => {
    expect(textComplaints("README.md", line)).toEqual([]);
  });

  test("a folder with source that is not on the map is named", () => {
    expect(
      mapComplaints(["engine/core/a.ts", "engine/new/b.ts", "vitest.config.ts"], "engine/core/"),
    ).toEqual(["ARCHITECTURE.md:1  does not mention `engine/new/`: say in one line what it is for"]);
  });
});
