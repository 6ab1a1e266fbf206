/** The backends of weir.yaml, as they are opened: what a setting there does to real requests. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { stringify } from "yaml";
import { type Backends, openBackends } from "../../server/backends.ts";
import { loadConfig } from "../../server/config.ts";
import { type CloudDouble, startCloudDouble } from "../support/cloud-double/cloud-double.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { eventsOf, remoteRequest } from "../support/remote.ts";
import { doubleBackend } from "../support/routed-server.ts";

let double: CloudDouble;
let home: string;
let open: Backends | undefined;
beforeAll(async () => {
  double = await startCloudDouble();
  home = mkdtempSync(join(tmpdir(), "weir-backends-"));
});
afterAll(async () => {
  rmSync(home, { recursive: true, force: true });
  await double.close();
});
beforeEach(() => double.reset());
afterEach(() => open?.close());

/** The one backend `double`, with these settings. */
function opened(settings: object, clock = new FakeClock()) {
  const file = join(home, "weir.yaml");
  const models = { small: "vendor-small-1" };
  writeFileSync(
    file,
    stringify({ backends: { double: doubleBackend(double.port, { models, ...settings }) } }),
  );
  const config = loadConfig({ env: { WEIR_HOME: home, WEIR_CONFIG: file }, cwd: home });
  open = openBackends(config, {
    clock,
    chance: () => 0.5,
    judge: async () => "public",
    scan: async () => "public",
    resolve: async () => ["127.0.0.1"],
  });
  const [known] = open.known;
  const generator = open.generators.get("double");
  if (known === undefined || generator === undefined) throw new Error("there is no backend");
  return { known, generator, clock };
}

test("a trial that does not begin is given up after the time for a connection and headers", async () => {
  const { known, generator, clock } = opened({
    ...{ attempts_max: 1, breaker_failures_max: 1, breaker_open_ms: 5000 },
    ...{ connect_timeout_ms: 2000, headers_timeout_ms: 10_000, request_timeout_ms: 600_000 },
  });
  await double.script({ kind: "status", status: 500 }, { kind: "silence" });
  await expect(eventsOf(generator, remoteRequest())).rejects.toMatchObject({ code: "backend_failed" });
  expect(known.isUp()).toBe(false);
  clock.advance(5000);
  const leave = new AbortController();
  const trial = eventsOf(generator, remoteRequest(), leave.signal);
  trial.catch(() => undefined);
  await expect.poll(async () => (await double.record()).requests.length).toBe(2);
  expect(known.isUp()).toBe(false);
  clock.advance(12_000);
  expect(known.isUp()).toBe(true);
  expect(await eventsOf(generator, remoteRequest())).not.toEqual([]);
  leave.abort();
  await expect(trial).rejects.toMatchObject({ code: "cancelled" });
});

test("requests beyond the connections wait, as many as may, and the next is refused", async () => {
  const { generator } = opened({ connections_max: 1, waiting_max: 1 });
  await double.script({ kind: "silence" });
  const leave = new AbortController();
  const first = eventsOf(generator, remoteRequest(), leave.signal);
  first.catch(() => undefined);
  await expect.poll(async () => (await double.record()).requests.length).toBe(1);
  const second = eventsOf(generator, remoteRequest());
  await expect(eventsOf(generator, remoteRequest())).rejects.toMatchObject({ code: "overloaded" });
  leave.abort();
  await expect(first).rejects.toMatchObject({ code: "cancelled" });
  expect(await second).not.toEqual([]);
  expect(await eventsOf(generator, remoteRequest())).not.toEqual([]);
  expect((await double.record()).requests).toHaveLength(3);
});
