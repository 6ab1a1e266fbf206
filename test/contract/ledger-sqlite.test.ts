/** The ledger in SQLite keeps the contract of every ledger. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SqliteLedger } from "../../engine/metering/ledger/sqlite.ts";
import { ledgerSuite } from "./ledger-suite.ts";

let folder: string;
const open = async (): Promise<SqliteLedger> =>
  new SqliteLedger({
    file: join(folder, "ledger.sqlite"),
    syncEveryMs: 1000,
  });

ledgerSuite("SQLite", {
  open: async () => {
    folder = mkdtempSync(join(tmpdir(), "weir-ledger-"));
    return open();
  },
  reopen: open,
  clear: async () => rmSync(folder, { recursive: true, force: true }),
});
