/** The configuration's bounds as the scheduler wants them. */
import { checkLaneLimits, type LaneLimits } from "../../engine/core/limits.ts";
import type { Config } from "../config.ts";

/** `contextLength`: the model's own, in tokens; the smaller of it and the configured bound counts. */
export function laneLimits(engine: Config["engine"], contextLength: number): LaneLimits {
  const limits: LaneLimits = {
    rowsMax: engine.rowsMax,
    slotTokens: Math.min(engine.contextTokensMax, contextLength),
    stepTokensMax: engine.stepTokensMax,
    chunkTokensMax: engine.chunkTokensMax,
    chunkTokensMin: engine.chunkTokensMin,
    interTokenStretchMax: engine.interTokenStretchMax,
    waitingMax: engine.waitingMax,
    agingMs: engine.agingMs,
    requestTimeoutMs: engine.requestTimeoutMs,
  };
  checkLaneLimits(limits);
  return limits;
}
