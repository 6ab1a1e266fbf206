/** A decision as a receipt holds it, for tests of what is made of receipts. */
import type { DecisionRecord } from "../../engine/core/decision-record.ts";

export const decisionWith = (what: Partial<DecisionRecord>): DecisionRecord => ({
  request: "req-1",
  class: "restricted",
  content: "restricted",
  pinned: null,
  key: null,
  agent: null,
  wanted: "auto",
  zone: "onprem",
  action: "serve",
  backend: "local",
  rules: ["hr.words"],
  policy: "ab".repeat(32),
  topicModel: null,
  bytes: 120,
  ...what,
});
