import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test, vi } from "vitest";
import { EventStream } from "../../../server/sse.ts";

const servers: { close(): void; closeAllConnections(): void }[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** The text that a client reads when the server side runs `work`. */
async function read(work: (stream: EventStream, raw: ServerResponse) => void): Promise<string> {
  const server = createServer((_, raw) => {
    work(new EventStream(raw, { "x-own": "1" }, { keepAliveMs: 1000, stalledMs: 1000 }), raw);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const answer = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  expect(answer.headers.get("x-own")).toBe("1");
  return answer.text();
}

test("what is sent in one turn of the event loop leaves in one write", async () => {
  let writes = 0;
  const text = await read((stream, raw) => {
    const write = vi.spyOn(raw, "write");
    for (let i = 0; i < 50; i += 1) stream.send(`data: ${i}\n\n`);
    setTimeout(() => {
      writes = write.mock.calls.length;
      stream.end("data: end\n\n");
    }, 20);
  });
  expect(writes).toBe(1);
  expect(text.split("\n\n")).toHaveLength(52);
});

test("there is room until the reader falls behind, then the wait ends when it has caught up", async () => {
  let waited = 0;
  const text = await read((stream) => {
    void (async () => {
      for (let i = 0; i < 2000; i += 1) {
        stream.send(`data: ${"x".repeat(5000)}\n\n`);
        const room = stream.room();
        if (room === undefined) continue;
        waited += 1;
        await room;
      }
      stream.end("data: end\n\n");
    })();
  });
  expect(waited).toBeGreaterThan(5);
  expect(text.length).toBe(2000 * 5008 + 11);
});

test("sending to a client that left is harmless, and nobody waits for it", async () => {
  const server = createServer((_, raw) => {
    const stream = new EventStream(raw, {}, { keepAliveMs: 1000, stalledMs: 1000 });
    raw.once("close", () => {
      for (let i = 0; i < 100; i += 1) stream.send("x".repeat(10_000));
      left.resolve(stream.room());
      stream.end("end");
    });
  });
  const left = Promise.withResolvers<unknown>();
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const abort = new AbortController();
  await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, { signal: abort.signal });
  abort.abort();
  expect(await left.promise).toBeUndefined();
});
