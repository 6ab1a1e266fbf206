/**
 * `npm run bench -- classify`: what it costs to tell the class of a request, as served: all recognisers, all readings and
 * the shipped topic model. Ordinary prose, code and Chinese from 1 kB to 1 MB, in one message and as conversations; each
 * body is another stretch of a text of 2 MB and comes from JSON, so that no cache knows it and no string is a slice.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Bench } from "tinybench";
import { uniform } from "../engine/core/random.ts";
import { classify } from "../engine/routing/classify.ts";
import { createTopicModel, readTopicModel } from "../engine/routing/topic-model.ts";
import { createScreener } from "../engine/screening/screener.ts";
import { warnOfOthers, watchMachine } from "./support/machine.ts";
import { DEFAULT_RESULTS, wholeNumber } from "./support/options.ts";
import { appendResults, type FigureLine, resultsFile } from "./support/results.ts";
import { roundedSpread, type Spread, spread } from "./support/stats.ts";
import { table, withSpread } from "./support/table.ts";

export const HELP = `npm run bench -- classify [options]
  --rounds N       repetitions; texts and sizes take turns within each (default 5)
  --results DIR    where results are appended (default bench/results)
  --quick          one short round: shows that it works, its figures mean nothing and are not kept`;

/** Aims at 1 kB in one message, and at 100 kB. */
const P50_AIM_MS = 0.3;
const P99_AIM_MS = 2;
const LARGE_AIM_MS = 15;
const HELD_AIM_MS = 10;

interface Cell {
  readonly text: string;
  readonly characters: number;
  readonly messages: number;
}

/** Of a cell, or of a megabyte that a screener hands to a thread. */
export type ClassifyFigure = FigureLine &
  (
    | (Cell & { readonly p50Ms: Spread; readonly p99Ms: Spread })
    /** From the call to the answer, and the longest time for which the main thread did nothing else meanwhile. */
    | { readonly threadMs: Spread; readonly heldMs: Spread }
  );

const SENTENCES: Readonly<Record<string, readonly string[]>> = {
  prose: [
    "The bridge was finished in 1932 after eight years of work, and a train still crosses it every day. ",
    "Could you compare the two plans and say which one is cheaper over ten years? ",
    "Mix 250 g of flour with two eggs, then let the dough rest for half an hour. ",
    "In the second chapter the author describes the river, the mills and the people who lived from them.\n",
    "A prime number has no divisors but 1 and itself; the first ones are 2, 3, 5, 7, 11 and 13. ",
  ],
  code: [
    "export function mean(values: readonly number[]): number {\n  return values.reduce((a, b) => a + b, 0) / values.length;\n}\n",
    "for (let i = 0; i < rows.length; i += 1) {\n  if (rows[i].id === target) return i;\n}\n",
    'const url = "https://docs.example.org/v2/items?page=3&size=50"; // see chapter 4.2\n',
    "def area(a, b, c):\n    s = (a + b + c) / 2\n    return round((s * (s - a) * (s - b) * (s - c)) ** 0.5, 2)\n",
    "assert area(3, 4, 5) == 6.00 and area(1, 2, 10) == -1\n",
  ],
  Chinese: [
    "请写一篇关于城市公园的散文，描述灯光、湖水和散步的人群。",
    "第二段谈谈交通与天气，第三段讲述历史故事，每段大约三百字。",
    "请比较两种排序算法的时间复杂度，并给出一个例子。",
    "春天来了，花园里的树都绿了，孩子们在草地上放风筝。\n",
  ],
};
const SOURCE_CHARACTERS = 2_000_000;
const SHAPES = [
  { characters: 1000, messages: 1 },
  { characters: 1000, messages: 8 },
  { characters: 10_000, messages: 1 },
  { characters: 100_000, messages: 1 },
  { characters: 100_000, messages: 100 },
  { characters: 1_000_000, messages: 1 },
];
const CELLS: readonly Cell[] = Object.keys(SENTENCES).flatMap((text) =>
  SHAPES.map((shape) => ({ text, ...shape })),
);
const MODEL = new URL("../engine/routing/topic-model.bin", import.meta.url);

export async function runClassify(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: { rounds: { type: "string" }, results: { type: "string" }, quick: { type: "boolean" } },
  });
  const quick = values.quick === true;
  const rounds = wholeNumber("rounds", values.rounds) ?? (quick ? 1 : 5);
  const watch = watchMachine();
  const { facts } = watch;
  const model = readFileSync(MODEL);
  const topics = createTopicModel(readTopicModel(model));
  console.log(`commit ${facts.commit}, ${facts.cpu}, ${facts.cores} cores; ${rounds} rounds`);
  const times = CELLS.map(() => ({ p50: [] as number[], p99: [] as number[] }));
  const thread = { total: [] as number[], held: [] as number[] };
  const sources = new Map(Object.entries(SENTENCES).map(([text, sentences]) => [text, sourceOf(sentences)]));
  for (let round = 0; round < rounds; round += 1) {
    for (const [index, cell] of CELLS.entries()) {
      const { p50, p99 } = await timeCell(
        cell,
        sources.get(cell.text) as string,
        (body) => void classify(body, { topics }),
        quick ? 20 : 400,
      );
      times[index]?.p50.push(p50);
      times[index]?.p99.push(p99);
    }
    const { totalMs, heldMs } = await timeThread(sources.get("prose") as string);
    thread.total.push(totalMs);
    thread.held.push(heldMs);
  }
  const line = { kind: "figure", run: facts.run } as const;
  const of = (samples: readonly number[]): Spread => roundedSpread(spread(samples));
  const figures: ClassifyFigure[] = CELLS.map((cell, index) => {
    const { p50, p99 } = times[index] as (typeof times)[number];
    return { ...line, ...cell, p50Ms: of(p50), p99Ms: of(p99) };
  });
  figures.push({ ...line, threadMs: of(thread.total), heldMs: of(thread.held) });
  const othersShare = watch.othersShare();
  console.log(`\n${classifyTable(figures)}\n`);
  warnOfOthers(othersShare);
  if (quick) return;
  const path = resultsFile("classify", values.results ?? DEFAULT_RESULTS);
  const topicModel = createHash("sha256").update(model).digest("hex");
  appendResults(
    path,
    { kind: "run", ...facts, othersShare, options: { rounds }, model: { topicModel } },
    figures,
  );
  console.log(`appended to ${path}`);
}

function sourceOf(sentences: readonly string[]): string {
  const parts: string[] = [];
  for (let size = 0, draw = 0; size < SOURCE_CHARACTERS; draw += 1) {
    const next = sentences[Math.floor(uniform(7, draw) * sentences.length)] as string;
    parts.push(next);
    size += next.length;
  }
  return parts.join("");
}

/** The body that a call number gets, as the server gets it. */
function bodyOf({ characters, messages }: Cell, source: string, call: number): unknown {
  const at = Math.floor(uniform(characters, call) * (source.length - characters));
  const each = characters / messages;
  const body = {
    messages: Array.from({ length: messages }, (_, index) => ({
      role: index % 2 === 0 ? "user" : "assistant",
      content: source.slice(at + index * each, at + (index + 1) * each),
    })),
  };
  return JSON.parse(JSON.stringify(body));
}

async function timeCell(
  cell: Cell,
  source: string,
  run: (body: unknown) => void,
  timeMs: number,
): Promise<{ readonly p50: number; readonly p99: number }> {
  const bench = new Bench({ time: timeMs, iterations: 5, warmupTime: timeMs / 4, warmupIterations: 2 });
  let call = 0;
  let body: unknown;
  bench.add("cell", () => run(body), {
    beforeEach: () => {
      body = bodyOf(cell, source, call);
      call += 1;
    },
  });
  await bench.run();
  const result = bench.tasks[0]?.result;
  if (result?.state !== "completed") throw new Error(`${cell.text}: ${result?.state}`);
  return { p50: result.latency.p50, p99: result.latency.p99 };
}

async function timeThread(source: string): Promise<{ readonly totalMs: number; readonly heldMs: number }> {
  const screener = createScreener({
    topicModel: readFileSync(MODEL),
    ...{ inlineCharactersMax: 8192, timeoutMs: 10_000, memoryMb: 512, queueMax: 4 },
  });
  const size = 1_000_000;
  try {
    for (let call = 0; ; call += 1) {
      const body = bodyOf({ text: "", characters: size, messages: 1 }, source, call);
      const start = performance.now();
      let isDone = false;
      const answer = screener.classify(body, [], size).then((found) => {
        isDone = true;
        return found;
      });
      let heldMs = 0;
      for (let last = start; !isDone; ) {
        await nextTurn();
        const now = performance.now();
        heldMs = Math.max(heldMs, now - last);
        last = now;
      }
      if ((await answer).class !== "public") throw new Error("the thread did not find prose public");
      // The first ones are slow: code that has not run often.
      if (call === WARM_CALLS) return { totalMs: performance.now() - start, heldMs };
    }
  } finally {
    await screener.close();
  }
}

const WARM_CALLS = 3;

export function classifyTable(figures: readonly ClassifyFigure[]): string {
  const cells = figures.filter((figure) => "text" in figure);
  const threads = figures.filter((figure) => "heldMs" in figure);
  const aim = ({ characters, messages }: Cell): string =>
    characters === 1000 && messages === 1
      ? `p50 ≤ ${P50_AIM_MS}, p99 ≤ ${P99_AIM_MS}`
      : characters === 100_000 && messages === 1
        ? `p50 ≤ ${LARGE_AIM_MS}`
        : "";
  return [
    table(
      ["text", "characters", "messages", "p50, ms", "p99, ms", "aim"],
      cells.map((cell) => [
        ...[cell.text, String(cell.characters), String(cell.messages)],
        ...[withSpread(cell.p50Ms, 2), withSpread(cell.p99Ms, 2), aim(cell)],
      ]),
    ),
    ...threads.map(
      ({ threadMs, heldMs }) =>
        `1 MB of prose on a thread: ${withSpread(threadMs)} ms to the answer; the main thread is held for ` +
        `${withSpread(heldMs)} ms at the longest (aim: ≤ ${HELD_AIM_MS}).`,
    ),
  ].join("\n\n");
}
