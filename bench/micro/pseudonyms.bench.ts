/**
 * What placeholders cost: `node bench/micro/pseudonyms.bench.ts`. First what a chunk of a cloud's answer takes on its way, and
 * the first one from the request on, beside the same stream without them; then the requests themselves, beside what their
 * texts take to be scanned. Aims: the first token is not delayed by more than 5 ms; 100 kB take a few ms beyond scanning.
 */
import { Bench } from "tinybench";
import type { GenerationEvent } from "../../engine/core/generator.ts";
import { uniform } from "../../engine/core/random.ts";
import type { Restorer } from "../../engine/routing/pseudonyms/restore.ts";
import { batchesOf, findValues } from "../../engine/routing/pseudonyms/values.ts";
import { pseudonymise } from "../../engine/routing/pseudonyms.ts";
import { requestOf } from "../../test/support/pseudonyms.ts";

const SENTENCES = [
  "The service at 10.1.{}.{} answers slowly; ask support@team{}.example.com about it. ",
  "Could you compare the two plans and say which one is cheaper over ten years? ",
  "Mix 250 g of flour with two eggs, then let the dough rest for half an hour. ",
  "A prime number has no divisors but 1 and itself; the first ones are 2, 3, 5, 7, 11 and 13. ",
];

/** Prose in which a sentence of thirty-two holds values: some three hundred of them in 100 kB. */
function textOf(length: number): string {
  let out = "";
  for (let draw = 0; out.length < length; draw += 1) {
    const index = draw % 32 === 0 ? 0 : 1 + Math.floor(uniform(3, draw) * 3);
    let figure = 0;
    out += (SENTENCES[index] as string).replaceAll("{}", () => String(Math.floor(draw / 32) + figure++));
  }
  return out.slice(0, length);
}

const restore = (pseudonymise(requestOf(textOf(20_000))) as { restore: Restorer }).restore;
const said = (text: string): GenerationEvent => ({ kind: "text", text, tokens: [], logprobs: [] });
const started: GenerationEvent = { kind: "started", promptTokens: 1 };

async function* endless(parts: readonly string[]): AsyncGenerator<GenerationEvent> {
  const list = parts.map(said);
  for (let turn = 0; ; turn += 1) yield list[turn % list.length] as GenerationEvent;
}

const PROSE = ["The", " quick", " brown", " fox", " jumps", " over", " it", ". "];
const MARKS = ["- [x] ", "a[0", "] = \\", "n; ", "[I", "]", " [see", " below]"];
const WHOLE = ["write to ", "[", "IN", "BOX", "-", "CN", "]", " now"];

const bench = new Bench({ time: 500, warmupTime: 200 });
const identity: Restorer = (events) => events;
for (const [name, parts] of Object.entries({ prose: PROSE, brackets: MARKS, placeholders: WHOLE })) {
  for (const [how, through] of Object.entries({ plain: identity, restored: restore })) {
    const stream = through(endless(parts))[Symbol.asyncIterator]();
    bench.add(`a chunk of ${name}, ${how}`, async () => {
      await stream.next();
    });
  }
}
for (const [how, through] of Object.entries({ plain: identity, restored: restore })) {
  bench.add(`the first token, ${how}`, async () => {
    async function* answer(): AsyncGenerator<GenerationEvent> {
      yield started;
      yield said("The");
    }
    for await (const event of through(answer())) if (event.kind === "text") break;
  });
}
for (const size of [1000, 10_000, 100_000]) {
  const text = textOf(size);
  const request = requestOf(text);
  bench.add(`scanning ${size / 1000} kB`, () => {
    for (const batch of batchesOf([{ text, label: "" }])) findValues(batch);
  });
  bench.add(`pseudonymising ${size / 1000} kB`, () => {
    if (pseudonymise(request) === undefined) throw new Error("it could not be done");
  });
}

await bench.run();
for (const { name, result } of bench.tasks) {
  if (result.state !== "completed") throw new Error(`${name}: ${result.state}`);
  const us = (ms: number): string => (ms * 1000).toFixed(1).padStart(9);
  console.log(`${name.padEnd(34)} p50 ${us(result.latency.p50)} us   p99 ${us(result.latency.p99)} us`);
}
