/** Certificates at the cloud door: only a trusted one, only for the host that was meant, whatever the environment says. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text as textOf } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { Egress } from "../../engine/cloud/egress.ts";
import { provePublic } from "../../engine/cloud/public-proof.ts";
import { asFailure } from "../../engine/cloud/remote-errors.ts";
import { destinationAt, openEgress } from "../support/egress.ts";

const hasOpenssl = (() => {
  try {
    return execFileSync("openssl", ["version"]).length > 0;
  } catch {
    return false;
  }
})();
const title = hasOpenssl ? "over TLS" : "over TLS (skipped: openssl is absent)";

describe.skipIf(!hasOpenssl)(title, () => {
  let folder: string;
  let server: Server;
  let port: number;
  let ca: string;
  let asked = 0;
  let egress: Egress | undefined;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "weir-tls-"));
    const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
    const kind = [
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:prime256v1",
      "-nodes",
      "-days",
      "2",
    ];
    const name = ["-subj", "/CN=double", "-addext", "subjectAltName=DNS:api.double.test"];
    execFileSync("openssl", ["req", ...kind, ...name, "-keyout", key, "-out", cert], { stdio: "ignore" });
    ca = readFileSync(cert, "utf8");
    server = createServer({ key: readFileSync(key), cert: ca }, (request, response) => {
      asked += 1;
      request.resume().on("end", () => response.end("hello"));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    port = (server.address() as AddressInfo).port;
  });
  afterAll(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    asked = 0;
    await egress?.close();
  });

  const send = (host: string, trusted: string | undefined) => {
    const body = Buffer.from("{}");
    egress = openEgress([destinationAt(port, { hosts: [`${host}:${port}`], plaintext: false, ca: trusted })]);
    return egress.cloud(egress.cloudHost("double"), provePublic(body, "public"), {
      url: `https://${host}:${port}/v1/x`,
      headers: {},
      body,
      signal: AbortSignal.timeout(5000),
    });
  };

  test("a trusted certificate for the host lets the bytes out", async () => {
    expect(await textOf((await send("api.double.test", ca)).body)).toBe("hello");
    expect(asked).toBe(1);
  });

  test("a certificate that nobody trusts does not", async () => {
    const refused = await send("api.double.test", undefined).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "DEPTH_ZERO_SELF_SIGNED_CERT" });
    expect(asFailure("double", refused)).toMatchObject({ code: "backend_refused" });
    expect(asked).toBe(0);
  });

  test("nor where the environment switches the check off", async () => {
    vi.stubEnv("NODE_TLS_REJECT_UNAUTHORIZED", "0");
    await expect(send("api.double.test", undefined)).rejects.toMatchObject({
      code: "DEPTH_ZERO_SELF_SIGNED_CERT",
    });
    expect(asked).toBe(0);
  });

  test.each(["other.double.test", "127.0.0.1"])(
    "a certificate for another host does not: %s",
    async (host) => {
      const refused = await send(host, ca).catch((error: unknown) => error);
      expect(refused).toMatchObject({ code: "ERR_TLS_CERT_ALTNAME_INVALID" });
      expect(asFailure("double", refused)).toMatchObject({ code: "backend_refused" });
      expect(asked).toBe(0);
    },
  );
});
