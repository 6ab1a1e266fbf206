/** The client of `cloud-stream`, in a process of its own: what it costs must not be taken off weir's thread. */
import { Agent, type IncomingMessage, request } from "node:http";
import { ContentReader, type StreamAsk, type StreamReport, type StreamTask } from "./stream-messages.ts";

async function askAll({ asks }: StreamTask): Promise<StreamReport> {
  const agent = new Agent({ keepAlive: true });
  const usage = process.cpuUsage();
  const firstContentMs: number[] = [];
  for (const each of asks) firstContentMs.push(await ask(agent, each));
  const { user, system } = process.cpuUsage(usage);
  agent.destroy();
  return { kind: "done", firstContentMs, clientSeconds: (user + system) / 1e6 };
}

async function ask(agent: Agent, { way, port, body, answer, dataClass }: StreamAsk): Promise<number> {
  const sentAt = performance.now();
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const path = "/v1/chat/completions";
    request({ agent, host: "127.0.0.1", port, path, method: "POST", headers }, resolve)
      .on("error", reject)
      .end(body);
  });
  const reader = new ContentReader();
  let firstMs: number | undefined;
  for await (const part of response.setEncoding("utf8")) {
    const now = performance.now();
    if (reader.feed(part as string)) firstMs ??= now - sentAt;
  }
  const said = response.headers["x-weir-class"];
  if (response.statusCode !== 200 || firstMs === undefined || !reader.done)
    throw new Error(`the way '${way}' was answered with ${response.statusCode} and no whole stream`);
  if (reader.text !== answer)
    throw new Error(`the way '${way}' gave another answer: ${reader.text.slice(0, 200)}`);
  if (said !== dataClass) throw new Error(`the way '${way}' was taken for ${said}, not ${dataClass}`);
  return firstMs;
}

process.on("message", (task: StreamTask) => {
  askAll(task).then(
    (report) => process.send?.(report),
    (error: unknown) => {
      const message = error instanceof Error ? error.message : String(error);
      process.send?.({ kind: "failed", message } satisfies StreamReport);
    },
  );
});
process.on("disconnect", () => process.exit(0));
