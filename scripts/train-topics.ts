/**
 * Trains the topic model of the router: `npm run train:topics`. Deterministic: the same input gives the same bytes.
 *
 *   node scripts/train-topics.ts [--data DIR] [--out FILE] [--self-made]
 */
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { writeTopicModel } from "../engine/routing/topic-model.ts";
import { type Example, fitTopicModel } from "./topics/fit.ts";
import { type DataSet, dataFolder, HELD_OUT, loadSets } from "./topics/sets.ts";

export const MODEL_FILE = join(import.meta.dirname, "..", "engine", "routing", "topic-model.bin");

/** What is trained on of the given sets. Halves that are held out of the shipped model are left out here. */
export const examplesOf = (sets: readonly DataSet[]): readonly Example[] =>
  sets
    .filter(({ name }) => !name.endsWith(HELD_OUT))
    .flatMap(({ rows }) => rows.filter(({ weight }) => weight > 0));

const HELP = `Usage: node scripts/train-topics.ts [options]
  --data DIR    the outside sets, in DIR/privacy and DIR/text (default: WEIR_DATA, else ../shared/data)
  --out FILE    the model (default engine/routing/topic-model.bin)
  --self-made   go on where outside sets are absent: the model is then weaker`;

function main(): void {
  const { values } = parseArgs({
    options: {
      data: { type: "string" },
      out: { type: "string", default: MODEL_FILE },
      "self-made": { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return console.log(HELP);
  const folder = dataFolder(values.data, process.env["WEIR_DATA"]);
  const { sets, absent } = loadSets(folder);
  if (absent.length > 0 && !values["self-made"])
    throw new Error(
      `${folder} lacks ${absent.join(", ")}. Name the folder with --data, or say --self-made to train without them.`,
    );
  const examples = examplesOf(sets);
  const file = writeTopicModel(fitTopicModel(examples));
  writeFileSync(values.out, file);
  const digest = createHash("sha256").update(file).digest("hex");
  console.log(`${values.out}: ${file.length} bytes from ${examples.length} examples, sha256 ${digest}`);
}

if (import.meta.main) {
  try {
    main();
  } catch (error) {
    console.error((error as Error).message);
    process.exitCode = 1;
  }
}
