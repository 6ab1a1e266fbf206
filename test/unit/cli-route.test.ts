/** `weir route explain`: what the server would say, without one. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runIn } from "../support/commands.ts";

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "weir-route-cli-"));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const PRIVATE = "The salary of employee Li Na is 18,000 yuan a month, was that reviewed?";
const explain = (...argv: string[]) => runIn(home, ["route", "explain", ...argv]);
function write(name: string, value: unknown): string {
  const path = join(home, name);
  writeFileSync(path, typeof value === "string" ? value : JSON.stringify(value));
  return path;
}

test("shows class, zone and each rule with its place, and none of the text", async () => {
  const { code, out, err } = await explain("--text", PRIVATE);
  expect({ code, err }).toEqual({ code: 0, err: "" });
  expect(out).toMatch(/^class +restricted$/m);
  expect(out).toMatch(/^zone +onprem$/m);
  expect(out).toMatch(/^restricted +hr\.salary +\/messages\/0\/content$/m);
  expect(out).not.toMatch(/Li Na|18,000/);
  // Nothing is pinned, recorded or installed by asking.
  expect(readdirSync(home)).toEqual([]);
});

test("as JSON it is the server's answer, for a file or for standard input", async () => {
  const body = { prompt: "What is a river?" };
  const fromFile = await explain(write("body.json", body), "--json");
  const answer = JSON.parse(fromFile.out);
  expect(answer).toMatchObject({ class: "public", action: "serve", evidence: [] });
  expect(Object.keys(answer)).toEqual([
    "class",
    "zone",
    "action",
    "backend",
    "evidence",
    "policy",
    "confidence",
  ]);
  expect(JSON.parse((await runIn(home, ["route", "explain", "--json"], JSON.stringify(body))).out)).toEqual(
    answer,
  );
});

test("takes what a caller declares, and the configuration's backends as up", async () => {
  const cloud = { zone: "cloud", kind: "openai", url: "https://api.example.com/v1", models: ["m"] };
  write("weir.yaml", { backends: { azure: cloud } });
  const asked = async (...argv: string[]) =>
    JSON.parse((await explain("--json", "--text", "What is a river?", ...argv)).out);
  expect(await asked()).toMatchObject({ zone: "cloud", backend: "azure" });
  expect(await asked("--label", "internal")).toMatchObject({
    class: "internal",
    zone: "onprem",
    backend: "local",
  });
  expect(await asked("--source", "crm")).toMatchObject({ class: "restricted" });
  expect(await asked("--agent", "nobody")).toMatchObject({ class: "restricted" });
});

test("a key policy that there is not is the strictest, and that is said", async () => {
  const { out, err } = await explain("--text", "What is a river?", "--key-policy", "hr-bot", "--json");
  expect(JSON.parse(out)).toMatchObject({ class: "restricted", evidence: [{ rule: "policy.floor" }] });
  expect(err).toContain("no rules for keys named hr-bot");
});

test.each([
  ["no JSON", "{", /is not valid JSON.*--text/],
  ["no object", "[1]", /is no JSON object/],
])("%s is said, without a word of it", async (_, text, message) => {
  expect(await explain(write("body.json", text))).toMatchObject({
    code: 1,
    out: "",
    err: expect.stringMatching(message),
  });
});

test("nothing to explain is a wrong call", async () => {
  expect(await explain()).toMatchObject({ code: 2, err: expect.stringContaining("--text TEXT") });
  expect(await explain("/nowhere.json")).toMatchObject({ code: 1 });
});
