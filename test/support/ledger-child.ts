/**
 * A process that appends until it is killed: each entry's number is told only once it is acknowledged. Arguments: the file,
 * the first number, and how: `tick` (together, a turn of the event loop at a time) or `now`.
 */
import { writeSync } from "node:fs";
import { SqliteLedger } from "../../engine/metering/ledger/sqlite.ts";
import { numbered } from "./ledger-entries.ts";

const [, , file = "", start = "0", how = "tick"] = process.argv;
const ledger = new SqliteLedger({
  file,
  syncEveryMs: 50,
});
const tell = (numbers: readonly number[]): void => {
  writeSync(1, numbers.map((number) => `${number}\n`).join(""));
};

for (let number = Number(start); ; ) {
  const count = 1 + (number % 7);
  const entries = Array.from({ length: count }, (_, index) => numbered(number + index));
  if (how === "now") ledger.appendNow(entries);
  else await Promise.all(entries.map((entry) => ledger.append(entry)));
  tell(entries.map((_, index) => number + index));
  number += count;
}
