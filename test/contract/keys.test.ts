/** Keys of the store at the door of a real server: what each may reach, and from when on and until when. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type KeyRing, openKeyRing } from "../../server/keys/key-ring.ts";
import { type StoredKey, storeFile, writeStore } from "../../server/keys/store.ts";
import { scopeOf } from "../../server/plugins/auth.ts";
import { send } from "../support/http-client.ts";
import { conforms } from "../support/openai-schema.ts";
import { madeKey, revoked } from "../support/stored-keys.ts";
import { startTestServer, type TestServer } from "../support/test-server.ts";

/** What the issue promises, of a key that is made or revoked while the server runs. */
const COUNTS_WITHIN_MS = 2000;

let home: string;
const rings: KeyRing[] = [];
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "weir-keys-"));
});
afterEach(() => {
  for (const ring of rings.splice(0)) ring.close();
  rmSync(home, { recursive: true, force: true });
});

const save = (...keys: readonly StoredKey[]): void => writeStore(storeFile(home), keys);

/** With the pace of a real server. */
async function start(): Promise<TestServer> {
  const log = { info: () => undefined, error: () => undefined };
  const ring = openKeyRing({ store: storeFile(home), keysFile: undefined }, log);
  if (ring === undefined) throw new Error("there is no key");
  rings.push(ring);
  return await startTestServer({ ports: { access: { kind: "keys", verifier: ring } } });
}

const bearer = (key: string) => ({ authorization: `Bearer ${key}` });
const basic = (key: string, user = "") => ({
  authorization: `Basic ${Buffer.from(`${user}:${key}`).toString("base64")}`,
});

const CALLS = {
  inference: [
    ["/v1/models"],
    ["/v1/models/scripted"],
    ["/v1/completions", { model: "scripted", prompt: "a", max_tokens: 2 }],
    [
      "/v1/chat/completions",
      { model: "scripted", messages: [{ role: "user", content: "a" }], max_tokens: 2 },
    ],
    ["/tokenize", { prompt: "a" }],
    ["/detokenize", { tokens: [1] }],
  ],
  metrics: [
    ["/metrics"],
    ["/docs"],
    ["/docs/"],
    ["/docs/json"],
    ["/docs/yaml"],
    ["/docs/static/swagger-ui.css"],
  ],
} as const;

test("a key reaches what its scopes say and nothing else; admin reaches all", async () => {
  const keys = {
    inference: await madeKey("app", { scopes: ["inference"] }),
    metrics: await madeKey("prometheus", { scopes: ["metrics"] }),
    both: await madeKey("both", { scopes: ["inference", "metrics"] }),
    admin: await madeKey("boss", { scopes: ["admin"] }),
  };
  save(...Object.values(keys).map(({ stored }) => stored));
  await using server = await start();
  for (const needed of ["inference", "metrics"] as const) {
    for (const [path, body] of CALLS[needed]) {
      for (const [name, { key }] of Object.entries(keys)) {
        const answer = await send(server.baseUrl + path, body, { headers: bearer(key) });
        const may = name !== "inference" && name !== "metrics" ? true : name === needed;
        expect(answer.status, `${name} asks for ${path}`).toBe(may ? 200 : 403);
        if (may) continue;
        conforms("ErrorResponse", answer.json);
        expect(answer.json.error).toMatchObject({
          code: "forbidden",
          message: expect.stringContaining(`the scope '${needed}'; yours has '${name}'`),
        });
      }
    }
  }
  expect(
    (await send(`${server.baseUrl}/nothing`, undefined, { headers: bearer(keys.metrics.key) })).status,
  ).toBe(404);
  expect(server.log.join("")).toContain('"status":403,"ms":');
  expect(server.log.join("")).toMatch(/"status":403.*"key":"prometheus"/);
});

test("a route that nobody gave a scope is the administrator's", () => {
  for (const route of ["/admin/keys", "/v1", "/metricsx", "/docsx", "/tokenizer", "/"]) {
    expect(scopeOf(route), route).toBe("admin");
  }
});

test("a key that is made while the server runs lets in within two seconds, and one that is revoked no more", async () => {
  const [old, fresh] = [await madeKey("old"), await madeKey("fresh")];
  save(old.stored);
  await using server = await start();
  const statusOf = async (key: string) =>
    (await send(`${server.baseUrl}/v1/models`, undefined, { headers: bearer(key) })).status;
  const wait = { timeout: COUNTS_WITHIN_MS, interval: 20 };
  expect([await statusOf(old.key), await statusOf(fresh.key)]).toEqual([200, 401]);
  save(old.stored, fresh.stored);
  await expect.poll(() => statusOf(fresh.key), wait).toBe(200);
  save(revoked(old.stored), fresh.stored);
  await expect.poll(() => statusOf(old.key), wait).toBe(401);
  expect(await statusOf(fresh.key)).toBe(200);
  rmSync(storeFile(home));
  await expect.poll(() => statusOf(fresh.key), wait).toBe(401);
});

test("Basic with the key as password opens what there is to look at, and nothing that works", async () => {
  const { key, stored } = await madeKey("prometheus", { scopes: ["metrics", "inference"] });
  save(stored);
  await using server = await start();
  const ask = (path: string, headers: Record<string, string>) =>
    send(server.baseUrl + path, undefined, { headers });
  for (const path of ["/metrics", "/docs", "/docs/json"]) {
    expect((await ask(path, basic(key))).status, path).toBe(200);
    expect((await ask(path, basic(key, "any:one"))).status, "the name ends at the colon").toBe(401);
    expect((await ask(path, basic(key, "anyone"))).status).toBe(200);
    for (const wrong of [{}, basic(`${key}x`), basic(""), { authorization: "Basic !" }, bearer("wrong")]) {
      const refused = await ask(path, wrong);
      conforms("ErrorResponse", refused.json);
      expect([refused.status, refused.json.error.code]).toEqual([401, "invalid_api_key"]);
      expect(refused.headers.get("www-authenticate")).toMatch(/^Basic realm=".*key as the password"/);
    }
  }
  const worked = await ask("/v1/models", basic(key));
  expect([worked.status, worked.headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
  expect((await ask("/nothing", basic(key))).status).toBe(401);
  expect(server.log.join("")).not.toContain(key.slice(18));
});

test("the page of the docs asks for nothing over https, nor from anywhere else", async () => {
  const { key, stored } = await madeKey("reader", { scopes: ["metrics"] });
  save(stored);
  await using server = await start();
  for (const path of ["/docs", "/docs/static/swagger-ui-bundle.js"]) {
    const answer = await send(server.baseUrl + path, undefined, { headers: basic(key) });
    const policy = answer.headers.get("content-security-policy") ?? "";
    expect(policy).toContain("default-src 'self'");
    expect(policy).not.toMatch(/upgrade-insecure|https:|swagger\.io|unsafe/);
  }
});
