/**
 * Receipts as they lie in a folder, or one file of them, read line by line. A folder may belong to a running server: what
 * is read then is a piece of a chain that goes on, and files may be closed and renamed meanwhile.
 */
import { createHash, createPublicKey, type KeyObject } from "node:crypto";
import {
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import {
  HEAD_NAME,
  LOG_NAME,
  PUBLIC_KEY_NAME,
  ReceiptLogError,
  readHead,
} from "../../engine/receipts/chain-files.ts";
import { faultOf } from "../../engine/receipts/record.ts";
import {
  type ChainPoint,
  type KnownFromElsewhere,
  LINE_MAX,
  parsedReceipt,
} from "../../engine/receipts/verify.ts";
import { CommandFailure } from "./failure.ts";

export interface ReceiptFiles {
  readonly publicKey: KeyObject;
  /** SHA-256 of the key, as others print it. */
  readonly fingerprint: string;
  /** The file that the key was read from. */
  readonly keyFile: string;
  /** In the order of the chain. */
  readonly files: readonly ReceiptFile[];
  /** The last record of the file before the only one that was given, and that file's name. */
  readonly after: (ChainPoint & { readonly file: string }) | undefined;
  readonly end: KnownFromElsewhere["end"];
  /** Where `end` is from: the head's file, or the name of a closed file. */
  readonly endFrom: "head" | "name" | undefined;
  /** What is wrong with the head itself. */
  readonly headProblem: string | undefined;
}

export interface ReceiptFile {
  readonly name: string;
  lines(): Iterable<Line>;
  /** True for the one that weir writes into. */
  readonly live: boolean;
}

export interface Line {
  readonly text: string;
  /** False for what stands behind the last line end. */
  readonly whole: boolean;
}

/** `path`: a file or a folder; `keyFile`: instead of the key beside it. Throws CommandFailure where there is nothing to read. */
export function openReceipts(path: string, keyFile: string | undefined): ReceiptFiles {
  if (!existsSync(path)) {
    throw new CommandFailure(
      2,
      `There is no ${path}. Receipts lie in $WEIR_HOME/receipts once a request was decided.`,
    );
  }
  const isFolder = statSync(path).isDirectory();
  const folder = isFolder ? path : dirname(path);
  const key = readKey(keyFile ?? join(folder, PUBLIC_KEY_NAME));
  // In this order, since the chain may go on meanwhile: the head, the file that is written, those that were closed.
  const ofLog = isFolder || basename(path) === LOG_NAME;
  const head = ofLog ? headOf(folder, key.publicKey) : { end: undefined, problem: undefined };
  const live = ofLog ? openLive(join(folder, LOG_NAME)) : undefined;
  const closed = closedFiles(folder, live);
  if (isFolder) {
    const files = [...closed.map(({ file }) => file), ...(live === undefined ? [] : [live])];
    if (files.length === 0) throw new CommandFailure(2, `${path} holds no receipts.`);
    return {
      ...key,
      ...{ files, after: undefined, end: head.end, endFrom: head.end && "head", headProblem: head.problem },
    };
  }
  const own = closedSeq(basename(path));
  const before = closed.filter(({ seq }) => own === undefined || seq < own).at(-1);
  const isOfChain = ofLog || own !== undefined;
  const end = own === undefined ? head.end : { seq: own };
  return {
    ...key,
    files: [live ?? { name: basename(path), live: false, lines: () => linesOfFile(path) }],
    after: isOfChain && before !== undefined ? lastRecord(before.file, key.publicKey) : undefined,
    end,
    endFrom: end && (own === undefined ? "head" : "name"),
    headProblem: head.problem,
  };
}

function readKey(keyFile: string): Pick<ReceiptFiles, "publicKey" | "fingerprint" | "keyFile"> {
  try {
    const publicKey = createPublicKey(readFileSync(keyFile));
    if (publicKey.asymmetricKeyType !== "ed25519") throw new Error("it is not an Ed25519 key");
    const digest = createHash("sha256").update(publicKey.export({ type: "spki", format: "der" }));
    return { publicKey, keyFile, fingerprint: `SHA256:${digest.digest("base64").replace(/=+$/, "")}` };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CommandFailure(
      2,
      `${keyFile} cannot be read as a public key (${why}). Name the server's ${PUBLIC_KEY_NAME} with --key.`,
      error,
    );
  }
}

function headOf(
  folder: string,
  publicKey: KeyObject,
): { readonly end: ChainPoint | undefined; readonly problem: string | undefined } {
  try {
    const end = readHead(folder, publicKey);
    const problem = `${HEAD_NAME} is missing or empty: whether records were cut off at the end cannot be known`;
    return { end, problem: end === undefined ? problem : undefined };
  } catch (error) {
    if (error instanceof ReceiptLogError) return { end: undefined, problem: error.message };
    throw error;
  }
}

/** Held open, so that it stays the same file when it is renamed. */
function openLive(path: string): (ReceiptFile & { readonly identity: string }) | undefined {
  if (!existsSync(path)) return undefined;
  const descriptor = openSync(path, "r");
  return {
    name: LOG_NAME,
    live: true,
    identity: identityOf(fstatSync(descriptor)),
    lines: () => linesOf(descriptor),
  };
}

const identityOf = ({ dev, ino }: { readonly dev: number; readonly ino: number }): string => `${dev}:${ino}`;

/** The sequence number of a closed file's last record, from its name; undefined for other names. */
function closedSeq(name: string): number | undefined {
  const digits = /^receipts-(\d{12,15})\.jsonl$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

function closedFiles(
  folder: string,
  live: { readonly identity: string } | undefined,
): readonly { readonly seq: number; readonly file: ReceiptFile }[] {
  return readdirSync(folder)
    .flatMap((name) => {
      const seq = closedSeq(name);
      const path = join(folder, name);
      // What was closed after the live file was opened is the same file by another name.
      if (seq === undefined || identityOf(statSync(path)) === live?.identity) return [];
      return [{ seq, file: { name, live: false, lines: () => linesOfFile(path) } }];
    })
    .sort((a, b) => a.seq - b.seq);
}

function lastRecord(file: ReceiptFile, publicKey: KeyObject): ReceiptFiles["after"] {
  let last = "";
  for (const { text } of file.lines()) last = text;
  const record = parsedReceipt(last);
  if (record === undefined || faultOf(record, publicKey) !== undefined) return undefined;
  return { seq: record.seq, hash: record.hash, file: file.name };
}

function* linesOfFile(path: string): Generator<Line> {
  const descriptor = openSync(path, "r");
  try {
    yield* linesOf(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** From the file's beginning. Of a line that is too long to be a receipt only so much is kept that it shows. */
function* linesOf(descriptor: number): Generator<Line> {
  const block = Buffer.allocUnsafe(1 << 16);
  let begun: Buffer[] = [];
  let length = 0;
  const keep = (part: Buffer): void => {
    if (length <= LINE_MAX && part.length > 0) begun.push(Buffer.from(part));
    length += part.length;
  };
  const taken = (): string => {
    const text = Buffer.concat(begun).toString("utf8");
    begun = [];
    length = 0;
    return text;
  };
  let position = 0;
  for (;;) {
    const got = readSync(descriptor, block, 0, block.length, position);
    if (got === 0) break;
    position += got;
    let from = 0;
    for (let to = block.indexOf(10, from); to !== -1 && to < got; to = block.indexOf(10, from)) {
      keep(block.subarray(from, to));
      yield { text: taken(), whole: true };
      from = to + 1;
    }
    keep(block.subarray(from, got));
  }
  if (length > 0) yield { text: taken(), whole: false };
}
