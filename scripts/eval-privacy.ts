/**
 * What the classifier knows of texts that it was not trained on: `npm run eval:privacy`. Each set in turn is left out as
 * a whole, a model is trained on the others, and recall or false alarms on the set are printed with exact bounds, of the
 * topic model alone and of the whole classifier.
 *
 *   node scripts/eval-privacy.ts [--data DIR] [--set NAME ...]
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { classify } from "../engine/routing/classify.ts";
import type { TopicModel } from "../engine/routing/topic.ts";
import { createTopicModel, readTopicModel } from "../engine/routing/topic-model.ts";
import { clopperPearson } from "./topics/bounds.ts";
import { fitTopicModel } from "./topics/fit.ts";
import { type DataSet, dataFolder, HELD_OUT, loadSets, type Row } from "./topics/sets.ts";
import { examplesOf, MODEL_FILE } from "./train-topics.ts";

const HELP = `Usage: node scripts/eval-privacy.ts [options]
  --data DIR    the outside sets, in DIR/privacy and DIR/text (default: WEIR_DATA, else ../shared/data)
  --set NAME    measure only this set; may be given several times`;

/** From this score on a topic decides, as in engine/routing/classify.ts. */
const SCORE_MIN = 0.5;

interface Tally {
  readonly public: boolean;
  n: number;
  byTopic: number;
  byAll: number;
}

/** How many rows of each slice count as not public. */
function measure(rows: readonly Row[], topics: TopicModel): ReadonlyMap<string, Tally> {
  const tallies = new Map<string, Tally>();
  for (const row of rows) {
    if (!row.measured) continue;
    const tally = tallies.get(row.slice) ?? { public: row.topic === "public", n: 0, byTopic: 0, byAll: 0 };
    tallies.set(row.slice, tally);
    const messages = row.texts.map((content, index) => ({
      role: (row.texts.length - index) % 2 === 1 ? "user" : "assistant",
      content,
    }));
    const parts = messages.map(({ role, content }, index) => ({
      ...{ where: `/messages/${index}/content`, text: content, role },
      kind: "message" as const,
    }));
    tally.n += 1;
    if (topics.votes(parts).some(({ topic, score }) => topic !== "public" && score >= SCORE_MIN))
      tally.byTopic += 1;
    if (classify({ messages }, { topics }).class !== "public") tally.byAll += 1;
  }
  return tallies;
}

const percent = (share: number): string => `${(100 * share).toFixed(1)}`;

function cells(hits: number, n: number): string {
  const { low, high } = clopperPearson(hits, n);
  return `${percent(hits / n)} | ${percent(low)}–${percent(high)} | ${percent(high - low)}`;
}

function print(name: string, tallies: ReadonlyMap<string, Tally>): void {
  for (const [slice, { public: isPublic, n, byTopic, byAll }] of tallies)
    console.log(
      `| ${name} | ${slice} | ${isPublic ? "false alarms" : "recall"} | ${n} | ${cells(byTopic, n)} | ${cells(byAll, n)} |`,
    );
}

/** A set and its half that is held out of the shipped model are one when a set is left out. */
const whole = (name: string): string => name.replace(HELD_OUT, "");

function main(): void {
  const { values } = parseArgs({
    options: {
      data: { type: "string" },
      set: { type: "string", multiple: true },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return console.log(HELP);
  const folder = dataFolder(values.data, process.env["WEIR_DATA"]);
  const { sets, absent } = loadSets(folder);
  if (absent.length > 0)
    console.log(`Absent in ${folder}, and neither trained on nor measured: ${absent.join(", ")}.\n`);
  console.log(
    "Per cent of rows that count as not public, their 95 % Clopper-Pearson bounds and the bounds' width. Each set left out of training as a whole.\n",
  );
  console.log(
    "| left out | slice | figure | n | topic model | bounds | width | whole classifier | bounds | width |",
  );
  console.log("|---|---|---|---|---|---|---|---|---|---|");
  const measured = sets.filter(({ rows }) => rows.some((row) => row.measured));
  for (const name of new Set(measured.map((set) => whole(set.name)))) {
    // All templates but every fifth family are left for each of the others: it is the fifth that is measured.
    if (name === "templates" || (values.set !== undefined && !values.set.includes(name))) continue;
    const out = (set: DataSet): boolean => whole(set.name) === name;
    const topics = createTopicModel(fitTopicModel(examplesOf(sets.filter((set) => !out(set)))));
    print(
      name,
      measure(
        measured.filter(out).flatMap(({ rows }) => rows),
        topics,
      ),
    );
  }
  if (values.set !== undefined) return;
  const shipped = createTopicModel(readTopicModel(readFileSync(MODEL_FILE)));
  for (const set of sets.filter(({ name }) => name.endsWith(HELD_OUT)))
    print("half held out of the shipped model", measure(set.rows, shipped));
}

if (import.meta.main) {
  try {
    main();
  } catch (error) {
    console.error((error as Error).message);
    process.exitCode = 1;
  }
}
