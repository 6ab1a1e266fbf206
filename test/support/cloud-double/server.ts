/**
 * A cloud that records all it is sent: the three vendors' dialects on one port of the loopback, plain, and an HTTP proxy
 * on the same port. Its own process, so that nothing of it shares memory, environment or clients with what is tested.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { dialectOf, errorOf, eventsOf } from "./dialects.ts";
import type { DoubleAnswer, DoubleCommand, DoubleRecord, DoubleSeen, DoubleTurn } from "./script.ts";

let turns: DoubleTurn[] = [];
let requests: DoubleSeen[] = [];
let tunnels: string[] = [];
let connections = 0;
let left = 0;
/** Counts resets: what belongs to an earlier one is not recorded any more. */
let era = 0;
/** Of connections that are closed; open ones are asked. */
let closedBytes = 0;
let forgotten = 0;
const open = new Set<Socket>();

const received = (): number => [...open].reduce((sum, socket) => sum + socket.bytesRead, closedBytes);

const server = createServer((request, response) => void answer(request, response));
server.on("connection", (socket) => {
  connections += 1;
  open.add(socket);
  socket.on("error", () => undefined);
  socket.on("close", () => {
    open.delete(socket);
    closedBytes += socket.bytesRead;
  });
});
server.on("connect", (request, client: Socket, head: Buffer) => {
  tunnels.push(request.url ?? "");
  const { port } = server.address() as AddressInfo;
  const through = connect(port, "127.0.0.1", () => {
    client.write("HTTP/1.1 200 Connection established\r\n\r\n");
    through.write(head);
    client.pipe(through).pipe(client);
  });
  client.on("error", () => through.destroy());
  through.on("error", () => client.destroy());
});

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const born = era;
  response.on("close", () => {
    if (!response.writableFinished && born === era) left += 1;
  });
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  const headers = Object.fromEntries(
    Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
  );
  const url = request.url ?? "";
  requests.push({ method: request.method ?? "", url, headers, body: Buffer.concat(parts).toString("utf8") });
  const turn = turns.shift() ?? { kind: "answer", texts: ["ok"] };
  switch (turn.kind) {
    case "status":
      return void response.writeHead(turn.status, turn.headers).end(turn.body ?? "");
    case "raw":
      return void response
        .writeHead(200, { "content-type": turn.contentType ?? "text/event-stream" })
        .end(turn.body);
    case "silence":
      return;
    case "answer":
      return stream(url, turn, response);
  }
}

async function stream(url: string, turn: DoubleAnswer, response: ServerResponse): Promise<void> {
  const dialect = dialectOf(url);
  if (dialect === undefined) return void response.writeHead(404).end("no such path");
  const all = eventsOf(dialect, turn, url);
  const events = turn.after === undefined ? all : all.slice(0, turn.after.events);
  const last = turn.after?.fate === "error" ? [errorOf(dialect)] : [];
  response.writeHead(200, { "content-type": "text/event-stream", "transfer-encoding": "chunked" });
  for (const part of partsOf([...events, ...last], turn.splitBytes)) {
    if (turn.pauseMs !== undefined) await sleep(turn.pauseMs);
    response.write(part);
    // A turn of the event loop between two writes lets them leave apart.
    if (turn.splitBytes !== undefined) await sleep(0);
  }
  if (turn.after?.fate === "stall") return;
  if (turn.after?.fate === "cut") {
    await sleep(20);
    return void response.destroy();
  }
  response.end();
}

function partsOf(events: readonly string[], split: DoubleAnswer["splitBytes"]): readonly (Buffer | string)[] {
  if (split === "event") return events;
  const bytes = Buffer.from(events.join(""));
  const step = split ?? Math.max(1, bytes.length);
  return Array.from({ length: Math.ceil(bytes.length / step) }, (_, index) =>
    bytes.subarray(index * step, (index + 1) * step),
  );
}

process.on("message", (command: DoubleCommand) => {
  if (command.kind === "script") turns.push(...command.turns);
  if (command.kind === "reset") {
    turns = [];
    requests = [];
    tunnels = [];
    connections = 0;
    left = 0;
    era += 1;
    forgotten = received();
  }
  const record: DoubleRecord = { requests, connections, left, bytes: received() - forgotten, tunnels };
  process.send?.({ id: command.id, record });
});
// Ends with whoever started it, however that ends.
process.on("disconnect", () => process.exit(0));
server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));
