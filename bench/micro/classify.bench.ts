/**
 * What the classification of a request costs, without the topic model: `node bench/micro/classify.bench.ts`. Ordinary
 * prose, code and Chinese, from 1 kB to 1 MB; each call reads another stretch of a text of 2 MB, so that no cache knows it.
 * Aims: at 1 kB p50 <= 0.3 ms and p99 <= 2 ms, at 100 kB <= 15 ms, and linear from there to 1 MB.
 */
import { Bench } from "tinybench";
import { uniform } from "../../engine/core/random.ts";
import { classify } from "../../engine/routing/classify.ts";

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
  chinese: [
    "请写一篇关于城市公园的散文，描述灯光、湖水和散步的人群。",
    "第二段谈谈交通与天气，第三段讲述历史故事，每段大约三百字。",
    "请比较两种排序算法的时间复杂度，并给出一个例子。",
    "春天来了，花园里的树都绿了，孩子们在草地上放风筝。\n",
  ],
};

function textOf(sentences: readonly string[], length: number): string {
  const parts: string[] = [];
  for (let size = 0, draw = 0; size < length; draw += 1) {
    const next = sentences[Math.floor(uniform(7, draw) * sentences.length)] as string;
    parts.push(next);
    size += next.length;
  }
  return parts.join("");
}

const topics = { votes: () => [{ topic: "public" as const, score: 1, where: "" }] };
const bench = new Bench({ time: 800, warmupTime: 300 });
const SOURCE_CHARACTERS = 2_000_000;

for (const [name, sentences] of Object.entries(SENTENCES)) {
  const source = textOf(sentences, SOURCE_CHARACTERS);
  for (const size of [1000, 10_000, 100_000, 1_000_000]) {
    let call = 0;
    bench.add(`${name}, ${size / 1000} kB`, () => {
      const at = Math.floor(uniform(size, call) * (SOURCE_CHARACTERS - size));
      call += 1;
      classify({ messages: [{ role: "user", content: source.slice(at, at + size) }] }, { topics });
    });
  }
}

await bench.run();
for (const { name, result } of bench.tasks) {
  if (result.state !== "completed") throw new Error(`${name}: ${result.state}`);
  const ms = (value: number): string => value.toFixed(3).padStart(9);
  console.log(`${name.padEnd(18)} p50 ${ms(result.latency.p50)} ms   p99 ${ms(result.latency.p99)} ms`);
}
