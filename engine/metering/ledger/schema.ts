/**
 * The tables in SQLite. Lines are small because everything that repeats is a number into a dictionary. Triggers refuse to
 * change or remove a line; only lines that an anchor covers may go. Whoever can write to the file can remove triggers too:
 * that is what the chain is for.
 */

/** In the file's `user_version`; a file of another one is refused rather than misread. */
export const SCHEMA_VERSION = 1;

const DICTIONARIES = `
-- What a line shares with many others, and what usage is grouped by. NULL: it has none.
CREATE TABLE shared (
  id INTEGER PRIMARY KEY,
  identity TEXT NOT NULL UNIQUE,
  line TEXT NOT NULL,
  zone TEXT NOT NULL,
  backend TEXT NOT NULL,
  model TEXT NOT NULL,
  class TEXT NOT NULL,
  team TEXT,
  "key" TEXT,
  agent TEXT,
  tier TEXT NOT NULL
) STRICT;
CREATE TABLE priced (id INTEGER PRIMARY KEY, identity TEXT NOT NULL UNIQUE) STRICT;
-- Keyed hashes. Kept apart, so that views for groups of people can be made over them.
CREATE TABLE persons (id INTEGER PRIMARY KEY, identity TEXT NOT NULL UNIQUE) STRICT;
`;

const LINES = `
CREATE TABLE lines (
  seq INTEGER PRIMARY KEY,
  -- 16 bytes of a UUID where weir made the id, else the client's text.
  request ANY NOT NULL,
  choice INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  -- 0 work, 1 idle, 2 overhead.
  kind INTEGER NOT NULL,
  at INTEGER NOT NULL,
  shared INTEGER NOT NULL REFERENCES shared (id),
  priced INTEGER NOT NULL REFERENCES priced (id),
  person INTEGER REFERENCES persons (id),
  -- Bits 0, 1: outcome; 2: estimated; 3: counted as a request.
  flags INTEGER NOT NULL,
  prompt_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL,
  energy_uj INTEGER NOT NULL,
  -- Of the interval, below and above.
  below_uj INTEGER NOT NULL,
  above_uj INTEGER NOT NULL,
  cost_price INTEGER NOT NULL,
  cost_energy INTEGER NOT NULL,
  cost_hardware INTEGER NOT NULL,
  queue_us INTEGER NOT NULL,
  prefill_us INTEGER NOT NULL,
  decode_us INTEGER NOT NULL,
  corrects INTEGER,
  -- The first 8 bytes of what the content hashes to.
  digest BLOB NOT NULL,
  hash BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX lines_identity ON lines (request, choice, attempt, kind, digest);
CREATE INDEX lines_at ON lines (at);
CREATE INDEX lines_person ON lines (person, at) WHERE person IS NOT NULL;
CREATE INDEX lines_corrects ON lines (corrects) WHERE corrects IS NOT NULL;
`;

const SUMS = `
-- level 0: an hour, all together (shared = 0). 1: an hour and what is shared. 2: a day and what is shared. bucket: hours since
-- 1970. Written in the transaction of the lines.
CREATE TABLE sums (
  level INTEGER NOT NULL,
  bucket INTEGER NOT NULL,
  shared INTEGER NOT NULL,
  requests INTEGER NOT NULL,
  lines INTEGER NOT NULL,
  prompt_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL,
  energy_uj INTEGER NOT NULL,
  below_uj INTEGER NOT NULL,
  above_uj INTEGER NOT NULL,
  cost_price INTEGER NOT NULL,
  cost_energy INTEGER NOT NULL,
  cost_hardware INTEGER NOT NULL,
  PRIMARY KEY (level, bucket, shared)
) STRICT, WITHOUT ROWID;
-- Where lines were compacted: up to which one, and what those since the anchor before it summed to.
CREATE TABLE anchors (
  seq INTEGER PRIMARY KEY,
  line_hash BLOB NOT NULL,
  horizon INTEGER NOT NULL,
  totals TEXT NOT NULL,
  hash BLOB NOT NULL
) STRICT;
`;

const refuse = (table: string, event: "UPDATE" | "DELETE", unless: string | undefined): string => `
CREATE TRIGGER ${table}_${event.toLowerCase()} BEFORE ${event} ON ${table}
${unless === undefined ? "" : `WHEN NOT (${unless})`}
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;`;

const TRIGGERS = [
  ...["lines", "shared", "priced", "persons", "anchors"].map((table) => refuse(table, "UPDATE", undefined)),
  refuse("lines", "DELETE", "OLD.seq <= coalesce((SELECT max(seq) FROM anchors), 0)"),
  ...["shared", "priced", "anchors"].map((table) => refuse(table, "DELETE", undefined)),
  refuse("persons", "DELETE", "NOT EXISTS (SELECT 1 FROM lines WHERE person = OLD.id)"),
].join("\n");

export const SCHEMA = [DICTIONARIES, LINES, SUMS, TRIGGERS].join("\n");

/** The columns that sums are made of, as they are called in `lines` and `sums`; `requests` and `lines` come before them. */
export const SUMMED = [
  "prompt_tokens",
  "cached_tokens",
  "completion_tokens",
  "energy_uj",
  "below_uj",
  "above_uj",
  "cost_price",
  "cost_energy",
  "cost_hardware",
] as const;

/** `requests` and `lines` of a row of `lines`. */
export const COUNTED = "(flags >> 3) & 1";
export const ENTRIES = "corrects IS NULL";
