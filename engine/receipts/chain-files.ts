/**
 * The files beside the records: `receipts.key.pem` signs, `receipts.pub.pem` is to check with, `receipts.head` says where the
 * chain ends. The key is the last that is made of a new chain and the head is there from then on, so that a folder with a
 * key and without a head is one that lost it.
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from "node:crypto";
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { FIRST_PREV, faultOf, type Receipt } from "./record.ts";
import { parsedReceipt } from "./verify.ts";

export const LOG_NAME = "receipts.jsonl";
export const HEAD_NAME = "receipts.head";
export const PUBLIC_KEY_NAME = "receipts.pub.pem";
const PRIVATE_KEY_NAME = "receipts.key.pem";
const CLOSED_NAME = /^receipts-\d+\.jsonl$/;

/** The name of a file that ends with this record. */
export const closedName = (seq: number): string => `receipts-${String(seq).padStart(12, "0")}.jsonl`;

/** The folder's files do not fit together, or cannot be written: weir must not go on as if nothing were. */
export class ReceiptLogError extends Error {
  override readonly name = "ReceiptLogError";
}

/** Where a chain ends; `seq` 0 before its first record. */
export interface ChainEnd {
  readonly seq: number;
  readonly hash: string;
  readonly sig: string;
}

/** The chain's private key; makes it, with an empty chain, where there is none. Writes the public one again where it is lost. */
export function openKey(folder: string): KeyObject {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, PRIVATE_KEY_NAME);
  const key = existsSync(path) ? createPrivateKey(readFileSync(path)) : begin(folder, path);
  const publicPath = join(folder, PUBLIC_KEY_NAME);
  const pem = createPublicKey(key).export({ type: "spki", format: "pem" });
  if (!existsSync(publicPath) || readFileSync(publicPath, "latin1") !== pem) writeFileSync(publicPath, pem);
  return key;
}

function begin(folder: string, path: string): KeyObject {
  const live = join(folder, LOG_NAME);
  const records = readdirSync(folder).filter((name) => CLOSED_NAME.test(name));
  if (existsSync(live) && statSync(live).size > 0) records.push(LOG_NAME);
  if (records.length > 0) {
    throw new ReceiptLogError(
      `${path} is gone, but there are receipts that were signed with it (${records[0]}). ` +
        `Put it back, or move the folder's files aside to begin a new chain. ${CHECK}`,
    );
  }
  const { privateKey } = generateKeyPairSync("ed25519");
  const first = sign(null, Buffer.from(FIRST_PREV, "hex"), privateKey).toString("base64");
  writeDurably(join(folder, HEAD_NAME), headText({ seq: 0, hash: FIRST_PREV, sig: first }));
  // Under another name first: half a key would be none, and stop every later start.
  const begun = `${path}.new`;
  writeDurably(begun, privateKey.export({ type: "pkcs8", format: "pem" }).toString());
  renameSync(begun, path);
  return privateKey;
}

export const CHECK = "What is there can be checked with `weir receipts verify`.";

function writeDurably(path: string, text: string): void {
  writeFileSync(path, text, { mode: 0o600, flush: true });
}

/** Sequence number, hash and signature of the last record; always 16 + 64 + 88 characters and three line ends. */
export const headText = ({ seq, hash, sig }: ChainEnd): string =>
  `${String(seq).padStart(16, "0")}\n${hash}\n${sig}\n`;

/** The end of the chain as the head file has it; undefined without one. Throws where it is not signed by this key. */
export function readHead(folder: string, publicKey: KeyObject): ChainEnd | undefined {
  const path = join(folder, HEAD_NAME);
  if (!existsSync(path)) return undefined;
  const [seq = "", hash = "", sig = ""] = readFileSync(path, "latin1").split("\n");
  const whole = /^\d{16}$/.test(seq) && /^[0-9a-f]{64}$/.test(hash);
  if (!whole || !verify(null, Buffer.from(hash, "hex"), publicKey, Buffer.from(sig, "base64"))) {
    throw new ReceiptLogError(
      `${HEAD_NAME} is damaged or by another key: the end of the chain cannot be checked.`,
    );
  }
  return { seq: Number(seq), hash, sig };
}

export interface FileEnd {
  /** Undefined where there is no whole line. Throws where the last one is no receipt of this key. */
  readonly last: Receipt | undefined;
  /** Bytes of its whole lines. */
  readonly bytes: number;
}

/** What a file of receipts ends with; `name` is for the messages. */
export function endOf(file: number, name: string, publicKey: KeyObject): FileEnd {
  const { size } = fstatSync(file);
  const tail = readTail(file, size);
  const end = tail.lastIndexOf(10) + 1;
  const line = tail.subarray(end < 2 ? 0 : tail.lastIndexOf(10, end - 2) + 1, end);
  const bytes = size - (tail.length - end);
  if (line.length === 0) return { last: undefined, bytes };
  const last = parsedReceipt(line.toString("utf8").trimEnd());
  if (last === undefined || faultOf(last, publicKey) !== undefined) {
    throw new ReceiptLogError(
      `the last line of ${name} is no receipt that was signed with this folder's key. ${CHECK} ` +
        "Then move the folder's files aside to begin a new chain.",
    );
  }
  return { last, bytes };
}

/** The last record of the closed file that is to end with `seq`; undefined without that file. */
export function endOfClosed(folder: string, seq: number, publicKey: KeyObject): Receipt | undefined {
  const path = join(folder, closedName(seq));
  if (!existsSync(path)) return undefined;
  const file = openSync(path, "r");
  try {
    return endOf(file, closedName(seq), publicKey).last;
  } finally {
    closeSync(file);
  }
}

function readTail(file: number, size: number): Buffer {
  const length = Math.min(size, 131_072);
  const tail = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    const got = readSync(file, tail, filled, length - filled, size - length + filled);
    if (got === 0) break;
    filled += got;
  }
  return tail.subarray(0, filled);
}
