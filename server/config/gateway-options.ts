/** The configuration's bounds as the HTTP edge wants them. */
import type { Config } from "../config.ts";
import type { GatewayOptions } from "../ports.ts";

export const gatewayOptions = (
  { server, engine }: Pick<Config, "server" | "engine">,
  version: string,
): GatewayOptions => ({
  version,
  device: engine.device,
  bodyBytesMax: server.bodyLimitBytes,
  headerBytesMax: server.headerLimitBytes,
  connectionsMax: server.connectionsMax,
  headersTimeoutMs: server.headersTimeoutMs,
  receiveTimeoutMs: server.receiveTimeoutMs,
  keepAliveTimeoutMs: server.keepAliveMs,
  stalledClientTimeoutMs: server.stalledClientMs,
  streamKeepAliveMs: server.streamKeepAliveMs,
  choicesMax: server.choicesMax,
  promptsMax: server.promptsMax,
  generationsMax: server.generationsMax,
  messagesMax: server.messagesMax,
});
