/** Checks receipts as they lie in files, and says in words what that proves and what it cannot. */
import { ReceiptVerifier, type Verified } from "../../engine/receipts/verify.ts";
import type { ReceiptFiles } from "./receipt-files.ts";

export interface Expectations {
  /** Ids that must be among the records. */
  readonly ids: readonly string[];
  /** The record that the chain is expected to begin with, where older ones are kept elsewhere. */
  readonly fromSeq: number | undefined;
}

export interface PlacedProblem {
  /** Undefined, with `line`, for what stands in no line. */
  readonly file: string | undefined;
  /** 1-based, within its file. */
  readonly line: number | undefined;
  readonly seq: number | undefined;
  readonly problem: string;
}

export interface Checked extends Pick<Verified, "records" | "first" | "last"> {
  readonly start: string;
  readonly end: string;
  readonly notes: readonly string[];
  /** The first hundred or so. */
  readonly problems: readonly PlacedProblem[];
  readonly problemCount: number;
}

export function checkReceipts(source: ReceiptFiles, { ids, fromSeq }: Expectations): Checked {
  const { after, end } = source;
  const verifier = new ReceiptVerifier(source.publicKey, {
    ids,
    ...(after === undefined ? {} : { after }),
    ...(end === undefined ? {} : { end }),
  });
  const starts: { readonly name: string; readonly at: number }[] = [];
  const notes: string[] = [];
  let line = 0;
  for (const file of source.files) {
    starts.push({ name: file.name, at: line });
    for (const { text, whole } of file.lines()) {
      if (!whole && file.live && source.endFrom === "head") {
        // Whether a record that was acted on is missing shows in the head, which is written after the record.
        notes.push(
          `${file.name} ends within a line: it is being written, or a power cut stopped it before it counted`,
        );
        continue;
      }
      line += 1;
      verifier.add(text);
    }
  }
  const verified = verifier.finish();
  const placed = verified.problems.map(({ line: at, seq, problem }): PlacedProblem => {
    const file = at === undefined ? undefined : starts.findLast((start) => start.at < at);
    return { file: file?.name, line: file && at && at - file.at, seq, problem };
  });
  const start = startOf(verified, source, fromSeq);
  const further = [start.problem, source.headProblem]
    .filter((problem) => problem !== undefined)
    .map((problem): PlacedProblem => ({ file: undefined, line: undefined, seq: undefined, problem }));
  return {
    ...{ records: verified.records, first: verified.first, last: verified.last, notes },
    start: start.words,
    end: endOf(verified, source),
    problems: [...further, ...placed],
    problemCount: verified.problemCount + further.length,
  };
}

function startOf(
  { first, fromStart }: Verified,
  { after }: ReceiptFiles,
  fromSeq: number | undefined,
): { readonly words: string; readonly problem: string | undefined } {
  if (first === undefined) return { words: "there is no record", problem: undefined };
  if (fromSeq !== undefined && first.seq !== fromSeq) {
    const words = `record ${first.seq}`;
    return { words, problem: `the chain should begin with record ${fromSeq}, but begins with ${first.seq}` };
  }
  if (after !== undefined)
    return { words: `goes on from ${after.file}, which was not checked itself`, problem: undefined };
  if (fromStart) return { words: "the very first record", problem: undefined };
  if (fromSeq !== undefined)
    return { words: `record ${fromSeq}, as expected; older ones were not checked`, problem: undefined };
  return {
    words: `record ${first.seq}`,
    problem:
      `records 1 to ${first.seq - 1} are not here, and whether they are as they were cannot be known; give the folder ` +
      `with all files, or --from ${first.seq} where older ones are kept elsewhere`,
  };
}

function endOf({ last }: Verified, { endFrom }: ReceiptFiles): string {
  if (endFrom === "head") return "as the signed receipts.head has it";
  if (last?.closesFile === true) return "the record that closes the file: nothing is missing behind it";
  return `cannot be known from this file alone: records may have been cut off behind ${last?.seq ?? "it"}`;
}
