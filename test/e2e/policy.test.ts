/** A policy while weir runs: in force from the start, read again on SIGHUP, kept when its file goes bad; and its receipts. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { parsePolicy } from "../../server/policy/policy-file.ts";
import { send } from "../support/http-client.ts";
import { installTiny, runWeir, serve, temporaryHome, until } from "../support/served.ts";

const home = temporaryHome();
const settings = ["models.resident=false", "models.default=tiny"];
const file = join(home, "policy.yaml");
const env = { WEIR_POLICY_FILE: file };
beforeAll(() => installTiny(home, "tiny"));

const policyFor = (key: string): string => `version: 1
keys: { ${key}: {} }
probes:
  - { name: "a card stays", request: { prompt: "Card 4111 1111 1111 1111" }, expect: { class: personal, zone: onprem } }
`;
const hashOf = (text: string): string => parsePolicy(text, "p").policy.hash;

test("SIGHUP puts a new policy into force without a restart, a bad one is refused with its lines, and receipts hold", async () => {
  writeFileSync(file, policyFor("a"));
  await using served = await serve({ home, settings, env });
  const { url, enginePid } = served;
  const inForce = async (): Promise<unknown> => {
    const { json } = await send(`${url}/v1/route/explain`, { prompt: "Good morning" });
    return json.policy;
  };
  expect(await inForce()).toBe(hashOf(policyFor("a")));

  writeFileSync(file, policyFor("b"));
  served.process.kill("SIGHUP");
  await until(async () => (await inForce()) === hashOf(policyFor("b")));
  expect(served.enginePid).toBe(enginePid);

  writeFileSync(file, policyFor("c").replace("personal, zone: onprem", "public"));
  served.process.kill("SIGHUP");
  await until(() => served.output.includes("the policy file is refused"));
  expect(served.output).toContain(
    `${file}:4: probe \\"a card stays\\": expected class public, got class personal`,
  );
  expect(served.output).not.toContain("4111");
  expect(await inForce()).toBe(hashOf(policyFor("b")));

  const body = { model: "tiny", prompt: "Good morning", max_tokens: 2 };
  for (let i = 0; i < 3; i += 1) expect((await send(`${url}/v1/completions`, body)).status).toBe(200);
  // While it serves, and without it.
  const verify = () => runWeir(home, "receipts", "verify");
  expect(await verify()).toMatchObject({ code: 0 });
  expect(await served.stop("SIGTERM")).toBe(0);
  const { code, output } = await verify();
  expect(output).toContain("3 records in 1 file, 1 to 3");
  expect(code).toBe(0);
});

test("a policy that is bad stops the start with its lines and exit code 2", async () => {
  const bad = join(home, "bad.yaml");
  writeFileSync(bad, "version: 1\nclasses:\n  restricted: { zone: cloud }\n");
  const set = [...settings, `routing.policy_file=${bad}`].flatMap((setting) => ["--set", setting]);
  const { code, output } = await runWeir(home, "serve", "--port", "0", ...set);
  expect(code).toBe(2);
  expect(output).toContain(`${bad}:3: classes.restricted.zone: must be onprem`);
});
