/** `weir policy test`, `show` and `replay`: what they print, and their exit codes. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { DecisionRecord } from "../../engine/core/decision-record.ts";
import { LOG_NAME } from "../../engine/receipts/chain-files.ts";
import { ReceiptLog } from "../../engine/receipts/receipt-log.ts";
import { receiptId } from "../../engine/receipts/record.ts";
import { BUILT_IN_POLICY } from "../../server/policy/built-in.ts";
import { parsePolicy } from "../../server/policy/policy-file.ts";
import { runIn } from "../support/commands.ts";
import { decisionWith } from "../support/decisions.ts";

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "weir-policy-cli-"));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const weir = (...argv: string[]) => runIn(home, argv);
function write(name: string, text: string): string {
  const path = join(home, name);
  writeFileSync(path, text);
  return path;
}
const hashOf = (path: string): string => parsePolicy(readFileSync(path, "utf8"), path).policy.hash;

describe("test", () => {
  test("passes the policy that comes with weir, and the example", async () => {
    const { code, out, err } = await weir("policy", "test");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toMatch(
      /^(\d+) of \1 probes pass\. Policy [0-9a-f]{64} \(the policy that comes with weir\)$/,
    );
    expect(out).toContain(BUILT_IN_POLICY.policy.hash);
    const example = new URL("../../policy.example.yaml", import.meta.url).pathname;
    expect(await weir("policy", "test", example)).toMatchObject({ code: 0, err: "" });
  });

  test("says of each miss where it stands, what it expected and got, and which rules spoke; exit code 1", async () => {
    const file = write(
      "policy.yaml",
      `version: 1
classes: { public: { zone: cloud } }
probes:
  - { name: fine, request: { prompt: Good morning }, expect: { zone: cloud } }
  - { name: a card leaves, request: { prompt: My card is 4111 1111 1111 1111 }, expect: { zone: cloud } }
  - { name: a label lowers, label: public, request: { prompt: My card is 4111 1111 1111 1111 }, expect: { class: public } }
`,
    );
    const { code, out, err } = await weir("policy", "test", file);
    expect({ code, err }).toEqual({ code: 1, err: "" });
    const [first, second, summary, ...more] = out.split("\n");
    expect(first).toMatch(
      new RegExp(
        `^${file}:5: probe "a card leaves": expected zone cloud, got class personal, zone onprem, action serve \\(by .*id\\.card`,
      ),
    );
    expect(second).toContain(`${file}:6: probe "a label lowers": expected class public, got class personal`);
    expect(summary).toBe(`1 of 3 probes pass. Policy ${hashOf(file)} (${file})`);
    expect(more).toEqual([]);
    expect(out).not.toContain("4111");
    const json = await weir("policy", "test", file, "--json");
    expect(json.code).toBe(1);
    expect(JSON.parse(json.out)).toMatchObject({ ok: false, probes: 3, misses: [{}, {}] });
  });

  test("a bad or missing file is exit code 2, with its lines and no stack", async () => {
    const file = write("policy.yaml", "version: 1\nclasses:\n  personal: { zone: cloud }\n  secret: {}\n");
    const { code, err } = await weir("policy", "test", file);
    expect(code).toBe(2);
    expect(err).toContain(`weir: ${file}:3: classes`);
    expect(err).not.toMatch(/ at |not expected/);
    expect(await weir("policy", "test", join(home, "none.yaml"))).toMatchObject({
      code: 2,
      err: expect.stringContaining("cannot be read (ENOENT)"),
    });
  });

  test("takes the configured file where none is named, and says when there is nothing to test", async () => {
    const file = write("policy.yaml", "version: 1\n");
    const { code, out, err } = await weir("policy", "test", "--set", `routing.policy_file=${file}`);
    expect(code).toBe(0);
    expect(out).toContain(`0 of 0 probes pass. Policy ${hashOf(file)}`);
    expect(err).toContain("has no probes");
  });
});

describe("show", () => {
  test("prints classes and zones, rules and hash, and warns of backends that nobody configured", async () => {
    const file = write(
      "policy.yaml",
      `version: 1
explicit_cloud: reroute
classes:
  public: { zone: cloud, backends: [openai] }
  internal: { zone: cloud }
keys: { hr-bot: { class_floor: restricted, zone: onprem, models: [auto] } }
agents: { writer: {} }
tools: { lookup: restricted }
connectors: { wiki: internal }
`,
    );
    const { code, out, err } = await weir("policy", "show", file);
    expect(code).toBe(0);
    const lines = out.split("\n");
    expect(lines[0]).toBe(`Policy ${hashOf(file)} (${file}), with 0 probes`);
    for (const line of [
      /^public +cloud +openai$/,
      /^internal +cloud +all of the zone \(pseudonymised\)$/,
      /^restricted +onprem +all of the zone$/,
      /may not go there: reroute\.$/,
      /^hr-bot +restricted +onprem +auto$/,
      /^writer +public +by class +all$/,
      /^lookup +restricted$/,
      /^wiki +internal$/,
    ])
      expect(lines).toContainEqual(expect.stringMatching(line));
    expect(err).toContain("names a backend openai");
    expect(JSON.parse((await weir("policy", "show", file, "--json")).out)).toMatchObject({
      hash: hashOf(file),
      classes: { public: { zone: "cloud" } },
      keys: { "hr-bot": { classFloor: "restricted" } },
      tools: { lookup: "restricted" },
    });
  });
});

describe("replay", () => {
  let folder: string;
  let ids: string[];
  const BACKENDS = `backends:
  openai: { zone: cloud, kind: openai, url: "https://api.openai.com/v1", models: [large] }
`;
  beforeEach(() => {
    folder = join(home, "receipts");
    write("weir.yaml", BACKENDS);
  });
  async function record(...decisions: readonly Partial<DecisionRecord>[]): Promise<void> {
    const log = new ReceiptLog({ folder, fileBytesMax: 1_500, now: () => "2026-01-02T03:04:05.000Z" });
    ids = decisions.map((decision) => receiptId(log.append(decisionWith(decision))));
    await log.close();
  }
  const inCloud = { class: "public", content: "public", zone: "cloud", backend: "openai" } as const;
  const replay = (...argv: string[]) =>
    weir("policy", "replay", "--config", join(home, "weir.yaml"), "--from", folder, ...argv);

  test("says which decisions would be others, how many of each, and with --list which they are", async () => {
    await record(
      inCloud,
      { ...inCloud, key: "shop" },
      { ...inCloud, key: "shop" },
      {},
      { agent: "(unknown)" },
    );
    const file = write(
      "new.yaml",
      "version: 1\nclasses: { public: { zone: cloud } }\nkeys: { shop: { zone: onprem } }\n",
    );
    const { code, out, err } = await replay(file);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out.split("\n")).toEqual([
      `Policy ${hashOf(file)} (${file}) would change 2 of 5 decisions.`,
      "COUNT  WAS                 WOULD BE",
      "2      public cloud serve  public onprem serve",
      "Taken as up: openai, local.",
    ]);
    const listed = (await replay(file, "--list")).out.split("\n");
    expect(listed.slice(0, 2)).toEqual(
      [ids[1], ids[2]].map((id) => `${id}  public cloud serve -> public onprem serve`),
    );
    const json = (await replay(file, "--json", "--list")).out.split("\n").map((line) => JSON.parse(line));
    expect(json.slice(0, -1).map(({ receipt }) => receipt)).toEqual([ids[1], ids[2]]);
    expect(json.at(-1)).toMatchObject({
      policy: hashOf(file),
      decisions: 5,
      changed: 2,
      changes: [
        {
          was: { class: "public", zone: "cloud", action: "serve" },
          becomes: { class: "public", zone: "onprem", action: "serve" },
          count: 2,
        },
      ],
    });
  });

  test("heeds what was pinned, which model was named, and what is configured", async () => {
    await record(
      { ...inCloud, pinned: "restricted" },
      { ...inCloud, wanted: { model: "large", backend: "openai" } },
      { ...inCloud, wanted: { model: "large", backend: "gone" } },
      { ...inCloud, wanted: "unknown", action: "refuse", zone: "cloud", backend: null },
    );
    const file = write("new.yaml", "version: 1\n");
    const { out } = await replay(file);
    expect(out).toContain("would change 3 of 4 decisions");
    expect(out).toMatch(/^1 +public cloud serve +restricted onprem serve$/m);
    expect(out).toMatch(/^1 +public cloud serve +public onprem refuse$/m);
    expect(out).toMatch(/^1 +public cloud refuse +public onprem refuse$/m);
    expect(out).toContain("1 cannot be told");
  });

  test("knows a model by each of its names", async () => {
    write("weir.yaml", `models: { aliases: { best: openai/large } }\n${BACKENDS}`);
    await record(
      ...["best", "openai/large", "other"].map((key) => ({
        ...inCloud,
        key,
        wanted: { model: "large", backend: "openai" },
      })),
    );
    const rules =
      "best: { models: [best] }, openai/large: { models: [openai/large] }, other: { models: [small] }";
    const file = write("new.yaml", `version: 1\nclasses: { public: { zone: cloud } }\nkeys: { ${rules} }\n`);
    expect((await replay(file, "--list")).out).toContain(`would change 1 of 3`);
    expect((await replay(file, "--list")).out).toContain(
      `${ids[2]}  public cloud serve -> public onprem refuse`,
    );
  });

  test("a decision of the same policy stays, and one of the policy in force is not blamed for what was down", async () => {
    const down = { ...inCloud, action: "refuse", backend: null, zone: "cloud" } as const;
    const file = write("new.yaml", "version: 1\nclasses: { public: { zone: cloud } }\nkeys: { x: {} }\n");
    await record({ ...down, policy: hashOf(file) }, { ...down, policy: BUILT_IN_POLICY.policy.hash }, down);
    const { out } = await replay(file);
    expect(out).toContain("would change 1 of 3 decisions");
    expect(out).toContain("1 were made by this very policy");
    expect((await replay()).out).toContain("would change 2 of 3");
  });

  test("refuses receipts that are not whole, unless told to take them", async () => {
    await record(inCloud, inCloud, inCloud, {}, {});
    const live = join(folder, LOG_NAME);
    writeFileSync(live, `${readFileSync(live, "utf8")}{}\n`);
    const file = write("new.yaml", "version: 1\n");
    const refused = await replay(file);
    expect(refused).toMatchObject({ code: 1, out: "" });
    expect(refused.err).toMatch(/^receipts\.jsonl:\d+: it is not a receipt/);
    expect(refused.err).toContain("--unverified");
    const taken = await replay(file, "--unverified");
    expect(taken).toMatchObject({ code: 0, out: expect.stringContaining("would change 3 of 5") });
    expect(taken.err).toContain("only as true as they are");
  });

  test("needs receipts", async () => {
    expect(await weir("policy", "replay")).toMatchObject({ code: 2, err: expect.stringContaining("--from") });
    expect(await replay()).toMatchObject({ code: 2, err: expect.stringContaining("There is no") });
  });
});
