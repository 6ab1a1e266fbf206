/** A screening thread that fails as the body says: its `prompt` names the way. */
import { setTimeout as sleep } from "node:timers/promises";
import type { ScreeningTask } from "../../engine/screening/protocol.ts";

const vote = { rule: "id.card", class: "restricted", where: "/prompt" };

export default async function handle(task: ScreeningTask): Promise<unknown> {
  const { prompt, answer } =
    task.kind === "body" ? (task.body as { prompt: string; answer?: unknown }) : { prompt: "bytes" };
  switch (prompt) {
    case "throws":
      throw new Error(`could not read ${JSON.stringify(task)}`);
    case "spins":
      for (;;);
    case "sleeps":
      await sleep(60_000);
      return undefined;
    case "exits":
      return process.exit(0);
    case "takes 200 MiB": {
      const hoard = Array.from({ length: 250 }, (_, row) => new Array<number>(100_000).fill(row + 0.5));
      return { class: "restricted", evidence: [vote], confidence: hoard.length / 250 };
    }
    case "answers":
      return answer;
    default:
      return { class: "restricted", evidence: [vote], confidence: 1 };
  }
}
