/**
 * A process of streaming clients, started by `serve-overhead`: so that what clients cost is not taken off the server's own
 * thread. They read as little of the answers as they can, since on a small machine they share its cores with the engine.
 */
import { Agent, type IncomingMessage, request } from "node:http";
import type { ChatMessage } from "../../engine/core/request.ts";
import type { LoadReport, LoadTask } from "./client-messages.ts";

/** The usage and [DONE] at a stream's end fit into this many bytes. */
const TAIL_BYTES = 1024;
/** The first event carries the role alone. */
const EVENTS_BEFORE_TEXT = 2;

interface Answered {
  readonly promptTokens: number;
  readonly answerTokens: number;
  readonly firstTextMs: number;
}

async function load({ port, model, clients, maxTokens }: LoadTask): Promise<LoadReport> {
  const agent = new Agent({ keepAlive: true, maxSockets: clients.length });
  const start = performance.now();
  const usage = process.cpuUsage();
  const answers = await Promise.all(
    clients.map(async (conversations) => {
      const own: Answered[] = [];
      for (const messages of conversations)
        own.push(await ask(agent, port, bodyOf(model, messages, maxTokens)));
      return own;
    }),
  );
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(usage);
  agent.destroy();
  const all = answers.flat();
  const sum = (pick: (answer: Answered) => number): number =>
    all.reduce((total, one) => total + pick(one), 0);
  return {
    kind: "done",
    seconds,
    promptTokens: sum(({ promptTokens }) => promptTokens),
    answerTokens: sum(({ answerTokens }) => answerTokens),
    firstTextMs: all.map(({ firstTextMs }) => firstTextMs),
    clientSeconds: (user + system) / 1e6,
  };
}

const bodyOf = (model: string, messages: readonly ChatMessage[], maxTokens: number): string =>
  JSON.stringify({
    ...{ model, messages, max_tokens: maxTokens, temperature: 0, ignore_eos: true },
    ...{ stream: true, stream_options: { include_usage: true } },
  });

async function ask(agent: Agent, port: number, body: string): Promise<Answered> {
  const sentAt = performance.now();
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const path = "/v1/chat/completions";
    request({ agent, host: "127.0.0.1", port, path, method: "POST", headers }, resolve)
      .on("error", reject)
      .end(body);
  });
  let tail = "";
  let events = 0;
  let firstTextMs = Number.NaN;
  for await (const bytes of response) {
    const text = (bytes as Buffer).toString("latin1");
    if (events < EVENTS_BEFORE_TEXT) {
      events += text.split("\n\n").length - 1;
      if (events >= EVENTS_BEFORE_TEXT) firstTextMs = performance.now() - sentAt;
    }
    tail = (tail + text).slice(-TAIL_BYTES);
  }
  const prompt = /"prompt_tokens":(\d+)/.exec(tail)?.[1];
  const answer = /"completion_tokens":(\d+)/.exec(tail)?.[1];
  if (response.statusCode !== 200 || !tail.endsWith("data: [DONE]\n\n") || prompt === undefined)
    throw new Error(`the server answered ${response.statusCode}: ${tail.slice(0, 300)}`);
  return { promptTokens: Number(prompt), answerTokens: Number(answer), firstTextMs };
}

process.on("message", (task: LoadTask) => {
  load(task).then(
    (report) => process.send?.(report),
    (error: unknown) => {
      const message = error instanceof Error ? error.message : String(error);
      process.send?.({ kind: "failed", message } satisfies LoadReport);
    },
  );
});
process.on("disconnect", () => process.exit(0));
