/** The doors, against a cloud that counts every byte it gets. */
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { text as textOf } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { Destination } from "../../engine/cloud/destination.ts";
import {
  createEgress,
  type Egress,
  type EgressPorts,
  type Incoming,
  type OnpremHost,
  openHubTransport,
  operatorCommand,
  type WebhookNotice,
} from "../../engine/cloud/egress.ts";
import { type PublicProof, provePublic } from "../../engine/cloud/public-proof.ts";
import { DATA_CLASSES } from "../../engine/core/data-class.ts";
import { type CloudDouble, startCloudDouble } from "../support/cloud-double/cloud-double.ts";
import { destinationAt, openEgress } from "../support/egress.ts";

const CANARY = "canary-7f3a";
const BODY = Buffer.from(JSON.stringify({ say: CANARY }));

let double: CloudDouble;
let other: CloudDouble;
let egress: Egress | undefined;
beforeAll(async () => {
  [double, other] = await Promise.all([startCloudDouble(), startCloudDouble()]);
});
afterAll(async () => {
  await Promise.all([double.close(), other.close()]);
});
beforeEach(async () => {
  await Promise.all([double.reset(), other.reset()]);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await egress?.close();
});

interface Try {
  readonly to?: Partial<Destination>;
  readonly ports?: Partial<EgressPorts>;
  readonly url?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly proof?: PublicProof;
}

const address = (path = "/v1/chat/completions") => `http://api.double.test:${double.port}${path}`;

async function send(attempt: Try = {}): Promise<Incoming> {
  egress = openEgress([destinationAt(double.port, attempt.to)], attempt.ports);
  return egress.cloud(egress.cloudHost("double"), attempt.proof ?? provePublic(BODY, "public"), {
    url: attempt.url ?? address(),
    headers: { "content-type": "application/json", ...attempt.headers },
    body: attempt.body ?? BODY,
    signal: AbortSignal.timeout(5000),
  });
}

/** Refused, and neither a byte nor a connection reached the double or its neighbour. */
async function expectNothing(attempt: Try, message: RegExp): Promise<void> {
  await expect(send(attempt)).rejects.toMatchObject({
    code: "egress_refused",
    message: expect.stringMatching(message),
  });
  for (const each of [double, other]) {
    expect(await each.record()).toMatchObject({ connections: 0, bytes: 0, requests: [] });
  }
}

describe("the cloud door", () => {
  test("lets the proven bytes out, as they are", async () => {
    const answer = await send();
    expect(answer.status).toBe(200);
    await textOf(answer.body);
    const { requests, bytes } = await double.record();
    expect(requests).toMatchObject([{ method: "POST", url: "/v1/chat/completions", body: BODY.toString() }]);
    expect(bytes).toBeGreaterThan(BODY.length);
  });

  test("stays shut for a proof about other bytes", () =>
    expectNothing({ proof: provePublic(Buffer.from("other"), "public") }, /not about these bytes/));

  test("stays shut where one byte has changed since the proof", async () => {
    const body = Buffer.from(BODY);
    const proof = provePublic(body, "public");
    body[3] = (body[3] ?? 0) ^ 1;
    await expectNothing({ proof, body }, /not about these bytes/);
  });

  test("stays shut for an object that only looks like a proof", () =>
    expectNothing({ proof: Object.freeze({}) as PublicProof }, /not about these bytes/));

  test.each(DATA_CLASSES.filter((each) => each !== "public"))("no proof is made for %s bytes", (judged) => {
    expect(() => provePublic(BODY, judged)).toThrow(expect.objectContaining({ code: "egress_refused" }));
  });

  test.each(DATA_CLASSES.filter((each) => each !== "public"))("stays shut where the scan finds %s", (found) =>
    expectNothing({ ports: { scan: async () => found } }, /scan did not find its bytes public/),
  );

  test("stays shut where the scan says something that is no class", () =>
    expectNothing({ ports: { scan: async () => "PUBLIC" as "public" } }, /scan did not find/));

  test("stays shut where the scan fails, at once or later", async () => {
    const throws = () => {
      throw new Error(CANARY);
    };
    await expectNothing({ ports: { scan: throws } }, /the scan failed/);
    await expectNothing({ ports: { scan: async () => throws() } }, /the scan failed/);
  });

  test("stays shut where the scan takes too long", () =>
    expectNothing({ ports: { scan: () => new Promise(() => undefined) } }, /took too long/));

  test("sends what was proven, whatever the caller or the scan does to their bytes meanwhile", async () => {
    const body = Buffer.from(BODY);
    const proof = provePublic(body, "public");
    const scan: EgressPorts["scan"] = async (bytes) => {
      body.fill(0x58);
      bytes.fill(0x59);
      return "public";
    };
    await textOf((await send({ proof, body, ports: { scan } })).body);
    expect((await double.record()).requests[0]?.body).toBe(BODY.toString());
  });

  test.each([
    ["another host", () => `http://evil.test:${double.port}/v1/chat/completions`],
    ["another port", () => `http://api.double.test:${other.port}/v1/chat/completions`],
    ["the host as a user's name", () => `http://api.double.test@evil.test:${double.port}/v1/x`],
    ["a longer host", () => `http://api.double.test.evil.test:${double.port}/v1/x`],
    ["a name and password", () => `http://a:b@api.double.test:${double.port}/v1/x`],
    ["the address itself", () => `http://127.0.0.1:${double.port}/v1/x`],
    ["another protocol", () => `ftp://api.double.test:${double.port}/v1/x`],
    ["text in the path", () => address(`/v1/${encodeURIComponent("my salary is 5000")}`)],
    ["text in the query", () => address("/v1/x?q=my%20salary")],
    ["a fragment", () => address("/v1/x#a")],
    ["no address", () => "nowhere"],
  ])("stays shut for %s", (_, url) => expectNothing({ url: url() }, /^Nothing was sent to double: /));

  test("asks for https unless the configuration allows http", () =>
    expectNothing({ to: { plaintext: false } }, /protocol http:/));

  test.each([
    ["a header that is not on the list", { "x-note": CANARY }],
    ["a header with a line break", { authorization: "Bearer a\r\nx-note: b" }],
    ["a header of endless length", { authorization: "a".repeat(9000) }],
  ])("stays shut for %s", (_, headers) => expectNothing({ headers }, /header|value/));

  test.each([
    "127.0.0.1",
    "10.0.0.8",
    "169.254.169.254",
    "100.64.0.1",
    "::1",
    "fd00::1",
    "::ffff:8.8.8.8",
    "0.0.0.0",
  ])("stays shut where DNS answers %s", (found) =>
    expectNothing(
      { to: { ranges: [] }, ports: { resolve: async () => [found] } },
      /global ones are asked for/,
    ),
  );

  test("stays shut where only one of several addresses is inside", () =>
    expectNothing(
      { to: { ranges: [] }, ports: { resolve: async () => ["8.8.8.8", "127.0.0.1"] } },
      /kind private/,
    ));

  test("stays shut where DNS has no address", () =>
    expectNothing({ ports: { resolve: async () => [] } }, /no address/));

  test("stays shut for an address in the configuration that is inside", () =>
    expectNothing(
      { to: { ranges: [], hosts: [double.host] }, url: `http://${double.host}/v1/x` },
      /kind private/,
    ));

  test("looks a host up once a connection, and connects to that answer", async () => {
    const answers = [["127.0.0.1"], ["10.0.0.1"]];
    const resolve = vi.fn(async () => answers.shift() ?? []);
    await textOf((await send({ ports: { resolve } })).body);
    expect(resolve.mock.calls).toEqual([["api.double.test"]]);
    expect((await double.record()).connections).toBe(1);
  });

  test.each([301, 302, 303, 307, 308])("follows no redirect (%i)", async (status) => {
    const location = `http://api.double.test:${other.port}/v1/chat/completions`;
    await double.script({ kind: "status", status, headers: { location } });
    await expect(send()).rejects.toMatchObject({ code: "backend_refused" });
    expect(await other.record()).toMatchObject({ connections: 0, bytes: 0 });
    expect((await double.record()).requests).toHaveLength(1);
  });

  test("takes no proxy from the environment", async () => {
    for (const name of ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"]) {
      vi.stubEnv(name, `http://${other.host}`);
    }
    vi.stubEnv("NODE_USE_ENV_PROXY", "1");
    await textOf((await send()).body);
    expect(await other.record()).toMatchObject({ connections: 0, bytes: 0 });
    expect((await double.record()).requests).toHaveLength(1);
  });

  test("goes through the proxy of the configuration, which looks up the host", async () => {
    const resolve = vi.fn(async () => ["127.0.0.1"]);
    await textOf((await send({ to: { proxy: `http://${other.host}` }, ports: { resolve } })).body);
    expect(await other.record()).toMatchObject({ tunnels: [`api.double.test:${double.port}`] });
    expect(resolve).not.toHaveBeenCalled();
  });

  test.each([{ ranges: ["10.0.0.0/99"] }, { proxy: "proxy.example:3128" }])(
    "is not built where the configuration is wrong: %j",
    (wrong) => expect(() => openEgress([destinationAt(double.port, wrong)])).toThrow(RangeError),
  );

  test("knows no backend but those in the cloud", () => {
    egress = openEgress([destinationAt(double.port, { name: "inside", zone: "onprem" })]);
    expect(() => egress?.cloudHost("inside")).toThrow(/no cloud backend "inside"/);
    expect(() => egress?.cloudHost("nobody")).toThrow(/no cloud backend/);
  });

  test("gives up on a host that takes no connection in time", async () => {
    // A listener whose queue nobody empties is hard to make; TLS that never answers is the same wait.
    const mute: Server = createServer(() => undefined).listen(0, "127.0.0.1");
    await once(mute, "listening");
    const { port } = mute.address() as { port: number };
    const sending = send({
      to: { hosts: [`api.double.test:${port}`], connectTimeoutMs: 50 },
      url: `https://api.double.test:${port}/v1/x`,
    });
    await expect(sending).rejects.toMatchObject({ code: "UND_ERR_CONNECT_TIMEOUT" });
    mute.close();
  });
});

describe("the on-prem door", () => {
  const sendInside = (to: Partial<Destination>, ports: Partial<EgressPorts> = {}) => {
    egress = openEgress([destinationAt(double.port, { zone: "onprem", ranges: [], ...to })], ports);
    return egress.onprem(egress.onpremHost("double"), {
      url: address(),
      headers: { "content-type": "application/json" },
      body: BODY,
      signal: AbortSignal.timeout(5000),
    });
  };

  test("needs no proof for a host of the configuration that is inside", async () => {
    const scan = vi.fn(async () => "restricted" as const);
    await textOf((await sendInside({}, { scan })).body);
    expect((await double.record()).requests).toHaveLength(1);
    expect(scan).not.toHaveBeenCalled();
  });

  test.each(["8.8.8.8", "::ffff:8.8.8.8", "2606:4700::1"])(
    "stays shut where the host's address is out in the world: %s",
    async (found) => {
      const sending = sendInside({}, { resolve: async () => ["127.0.0.1", found] });
      await expect(sending).rejects.toMatchObject({ code: "egress_refused" });
      expect(await double.record()).toMatchObject({ connections: 0, bytes: 0 });
    },
  );

  test("knows no backend but those on the premises, whatever name is given", async () => {
    egress = openEgress([destinationAt(double.port)]);
    expect(() => egress?.onpremHost("double")).toThrow(/no onprem backend/);
    const outgoing = { url: address(), headers: {}, body: BODY, signal: AbortSignal.timeout(1000) };
    await expect(egress.onprem("double" as OnpremHost, outgoing)).rejects.toThrow(/no onprem backend/);
    expect(await double.record()).toMatchObject({ connections: 0, bytes: 0 });
  });
});

describe("the webhook door", () => {
  const notices = () =>
    createEgress(
      {
        destinations: [destinationAt(other.port)],
        webhook: destinationAt(double.port, { name: "webhook" }),
        webhookUrl: address("/hook"),
        scanTimeoutMs: 500,
      },
      { scan: async () => "restricted", resolve: async () => ["127.0.0.1"] },
    );

  test("sends the notice and nothing that was added to it", async () => {
    egress = notices();
    await double.script({ kind: "status", status: 204 });
    const backend = egress.cloudHost("double");
    const notice: WebhookNotice = { event: "backend_down", backend, at: 5, ...{ note: CANARY } };
    expect(await egress.webhook(notice, AbortSignal.timeout(5000))).toBe(204);
    const [seen] = (await double.record()).requests;
    expect(seen).toMatchObject({
      url: "/hook",
      body: JSON.stringify({ event: "backend_down", backend: "double", at: 5 }),
    });
  });

  test("has no room for text in place of an event, a name or a time", async () => {
    egress = notices();
    const notice = { event: CANARY, backend: CANARY, at: CANARY } as unknown as WebhookNotice;
    await egress.webhook(notice, AbortSignal.timeout(5000));
    expect(JSON.stringify(await double.record())).not.toContain(CANARY);
  });

  test("is shut where none is configured", async () => {
    egress = openEgress([destinationAt(double.port)]);
    const notice: WebhookNotice = { event: "backend_up", backend: egress.cloudHost("double"), at: 1 };
    await expect(egress.webhook(notice, AbortSignal.timeout(1000))).rejects.toMatchObject({
      code: "egress_refused",
    });
  });
});

describe("the types of the doors", () => {
  test("are errors for the compiler where anything but the right key is used", () => {
    const never = (_: Egress): void => {
      const signal = AbortSignal.timeout(1);
      const outgoing = { url: "", headers: {}, body: BODY, signal };
      const cloud = _.cloudHost("a");
      const inside = _.onpremHost("b");
      // @ts-expect-error: an object is no proof
      void _.cloud(cloud, {}, outgoing);
      // @ts-expect-error: a class is no proof
      void _.cloud(cloud, "public", outgoing);
      // @ts-expect-error: there is no way around the proof
      void _.cloud(cloud, outgoing);
      // @ts-expect-error: an on-prem host is none in the cloud
      void _.cloud(inside, provePublic(BODY, "public"), outgoing);
      // @ts-expect-error: a cloud host is none on the premises
      void _.onprem(cloud, outgoing);
      // @ts-expect-error: a name is no host of the configuration
      void _.onprem("b", outgoing);
      // @ts-expect-error: only a person's command opens the hub's door
      openHubTransport({}, { idleTimeoutMs: 1, connectionsMax: 1, proxy: {} });
      // @ts-expect-error: a notice has no field for text
      void _.webhook({ event: "backend_up", backend: cloud, at: 1, text: "a" }, signal);
      // @ts-expect-error: only known events
      void _.webhook({ event: "anything", backend: cloud, at: 1 }, signal);
      openHubTransport(operatorCommand(), { idleTimeoutMs: 1, connectionsMax: 1, proxy: {} });
    };
    expect(never).toBeTypeOf("function");
  });
});
