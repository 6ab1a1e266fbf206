/** `npm run bench -- WHICH [options]`: comparisons and load tests. Each prints what it did and appends its figures. */
import { HELP as CLASSIFY_HELP, runClassify } from "./classify.ts";
import { HELP as COMPILE_HELP, runCompile } from "./compile-run.ts";
import { HELP as LEDGER_HELP, runLedger } from "./ledger.ts";
import { HELP as CHUNKING_HELP, runChunking } from "./load/chunking.ts";
import { HELP as CLOUD_STREAM_HELP, runCloudStream } from "./load/cloud-stream.ts";
import { HELP as OVERHEAD_HELP, runServeOverhead } from "./load/serve-overhead.ts";
import { HELP as PEERS_HELP, runPeers } from "./peers/peers.ts";
import { HELP as REPORT_HELP, runReport } from "./report.ts";

interface Bench {
  readonly help: string;
  run(args: readonly string[]): Promise<void>;
}

const BENCHES: Readonly<Record<string, Bench>> = {
  peers: { help: PEERS_HELP, run: runPeers },
  "serve-overhead": { help: OVERHEAD_HELP, run: runServeOverhead },
  chunking: { help: CHUNKING_HELP, run: runChunking },
  "cloud-stream": { help: CLOUD_STREAM_HELP, run: runCloudStream },
  compile: { help: COMPILE_HELP, run: runCompile },
  classify: { help: CLASSIFY_HELP, run: runClassify },
  ledger: { help: LEDGER_HELP, run: runLedger },
  report: { help: REPORT_HELP, run: runReport },
};

async function main([which = "", ...args]: readonly string[]): Promise<number> {
  const bench = BENCHES[which];
  if (bench === undefined) {
    const known = Object.keys(BENCHES).join(", ");
    console.error(
      `npm run bench -- WHICH [options], where WHICH is one of ${known}; --help after it lists its options`,
    );
    return 2;
  }
  if (args.includes("--help")) {
    console.log(bench.help);
    return 0;
  }
  try {
    await bench.run(args);
    return 0;
  } catch (error) {
    console.error(error instanceof Error ? (error.stack ?? error.message) : error);
    return 1;
  }
}

process.exit(await main(process.argv.slice(2)));
