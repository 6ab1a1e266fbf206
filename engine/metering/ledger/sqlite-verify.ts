/** Computes the chain and the sums again, over one state of the file: what is written meanwhile is not looked at. */
import type { DatabaseSync } from "node:sqlite";
import { setImmediate as nextTurn } from "node:timers/promises";
import { chained, digestOf, FIRST_HASH } from "./chain.ts";
import { type ChainPoint, DAY_MS, HOUR_MS, type Verification } from "./ledger.ts";
import { COUNTED, ENTRIES, SUMMED } from "./schema.ts";
import { LineReader, type LineRow, recordedOf } from "./sqlite-rows.ts";
import { type AnchorRow, anchorHash, TOTALS, type Totals } from "./sqlite-upkeep.ts";

const PAGE = 500;
const PROBLEMS_MAX = 100;
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** `db`: a connection of its own, which is in a transaction meanwhile. */
export async function verify(db: DatabaseSync, expect: readonly ChainPoint[]): Promise<Verification> {
  const problems: string[] = [];
  let problemCount = 0;
  const tell = (problem: string): void => {
    problemCount += 1;
    if (problems.length < PROBLEMS_MAX) problems.push(problem);
  };
  db.exec("BEGIN");
  try {
    const anchors = checkAnchors(db, tell);
    const anchor = anchors.at(-1);
    const wanted = new Map(expect.map((point) => [point.seq, point.hash.toLowerCase()]));
    const chain = await checkChain(db, anchor, wanted, tell);
    for (const seq of wanted.keys())
      if (seq <= (anchor?.seq ?? 0))
        tell(`line ${seq} was compacted: what it was cannot be checked any more`);
      else if (seq > (chain.last?.seq ?? 0)) tell(`line ${seq} is missing: the ledger ends before it`);
    checkSums(db, anchors, tell);
    return {
      ...{ ok: problemCount === 0, ...chain, problems, problemCount },
      anchor: anchor && { seq: anchor.seq, hash: hexOf(anchor.line_hash), daysBefore: anchor.horizon },
    };
  } finally {
    db.exec("ROLLBACK");
  }
}

type Tell = (problem: string) => void;

function checkAnchors(db: DatabaseSync, tell: Tell): readonly AnchorRow[] {
  const anchors = db.prepare("SELECT * FROM anchors ORDER BY seq").all() as unknown as readonly AnchorRow[];
  let before = new Uint8Array(0);
  for (const anchor of anchors) {
    if (!anchorHash(before, anchor).equals(anchor.hash)) tell(`the anchor at line ${anchor.seq} was altered`);
    before = new Uint8Array(anchor.hash);
  }
  return anchors;
}

async function checkChain(
  db: DatabaseSync,
  anchor: AnchorRow | undefined,
  wanted: ReadonlyMap<number, string>,
  tell: Tell,
): Promise<Pick<Verification, "lines" | "first" | "last">> {
  const reader = new LineReader(db);
  let lines = 0;
  let first: number | undefined;
  let before = { seq: anchor?.seq ?? 0, hash: anchor?.line_hash ?? FIRST_HASH };
  for (;;) {
    const page = reader.bySeq(before.seq, PAGE);
    for (const row of page) {
      if (row.seq !== before.seq + 1) tell(gap(before.seq + 1, row.seq - 1));
      const fault = faultOf(row, before.hash);
      if (fault !== undefined) tell(`line ${row.seq}: ${fault}`);
      const expected = wanted.get(row.seq);
      if (expected !== undefined && !hexOf(row.hash).startsWith(expected))
        tell(`line ${row.seq} is not the one that was expected`);
      first ??= row.seq;
      lines += 1;
      before = row;
    }
    if (page.length < PAGE) break;
    await nextTurn();
  }
  const last = lines === 0 ? undefined : { seq: before.seq, hash: hexOf(before.hash) };
  return { lines, first, last };
}

const gap = (from: number, to: number): string =>
  from === to ? `line ${from} is missing` : `lines ${from} to ${to} are missing`;

/** Each line is checked with the hash that the one before it has, so that one altered line is one problem. */
function faultOf(row: LineRow, before: Uint8Array): string | undefined {
  try {
    const { entry, corrects, counted } = recordedOf(row);
    const digest = digestOf(entry, corrects === undefined ? undefined : { corrects, seq: row.seq });
    if (!digest.subarray(0, 8).equals(row.digest)) return "its content was altered";
    const whole = chained(before, digest, { seq: row.seq, counted });
    return whole.equals(row.hash) ? undefined : "it does not follow from the line before it, or was altered";
  } catch {
    return "it is damaged";
  }
}

/** The sums that are kept against those of the lines; of compacted lines, against what their anchors say. */
function checkSums(db: DatabaseSync, anchors: readonly AnchorRow[], tell: Tell): void {
  const horizon = anchors.at(-1)?.horizon ?? 0;
  const covered = anchors.at(-1)?.seq ?? 0;
  const kept = ["requests", "lines", ...SUMMED];
  const fresh = [`sum(${COUNTED})`, `sum(${ENTRIES})`, ...SUMMED.map((column) => `sum(${column})`)];
  const levels = [
    ["hours", 0, `at / ${HOUR_MS}`, "0"],
    ["hours by group", 1, `at / ${HOUR_MS}`, "shared"],
    ["days", 2, `at / ${DAY_MS} * 24`, "shared"],
  ] as const;
  for (const [name, level, bucket, shared] of levels) {
    const ofSums = `SELECT bucket, shared, ${kept.join(", ")} FROM sums WHERE level = ${level} AND bucket >= ${horizon / HOUR_MS}`;
    const ofLines = `SELECT ${bucket}, ${shared}, ${fresh.join(", ")} FROM lines WHERE at >= ${horizon} AND seq > ${covered} GROUP BY 1, 2`;
    const differing = `SELECT count(*) AS count FROM (SELECT * FROM (${ofSums} EXCEPT ${ofLines}) UNION SELECT * FROM (${ofLines} EXCEPT ${ofSums}))`;
    const { count } = db.prepare(differing).get() as { readonly count: number };
    if (count > 0) tell(`the sums of ${name} are not those of the lines`);
  }
  if (anchors.length === 0) return;
  const totals = anchors.map(({ totals: text }) => JSON.parse(text) as Totals);
  const summed = (columns: readonly string[], from: string): Readonly<Record<string, bigint | null>> => {
    const named = columns.map((column, index) => `${column} AS ${kept[index]}`).join(", ");
    const statement = db.prepare(`SELECT ${named} FROM ${from}`);
    statement.setReadBigInts(true);
    return statement.get() as Record<string, bigint | null>;
  };
  const ofDays = summed(
    kept.map((column) => `sum(${column})`),
    `sums WHERE level = 2 AND bucket < ${horizon / HOUR_MS}`,
  );
  const ofLate = summed(fresh, `lines WHERE at < ${horizon} AND seq > ${covered}`);
  const differs = TOTALS.some((column) => {
    const gone = totals.reduce((sum, each) => sum + BigInt(each[column]), 0n);
    return (ofDays[column] ?? 0n) !== gone + (ofLate[column] ?? 0n);
  });
  if (differs) tell("the sums of compacted days are not those that their lines had");
}
