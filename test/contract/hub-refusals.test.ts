/** What cannot be pulled, and how that is said. */
import { describe, expect, test } from "vitest";
import { parseReference } from "../../models/hub.ts";
import type { Fault } from "../support/hub-double.ts";
import { model, openPulls } from "../support/hub-pulls.ts";

describe("what is not to be had", () => {
  test("is explained: no such repository, no such revision, private, gated", async () => {
    await using pulls = await openPulls({
      "org/m": model(),
      "org/private": model({ token: "right" }),
      "org/gated": model({ token: "right", gated: true }),
    });
    await expect(pulls.pull("org/nothing")).rejects.toThrow("There is no org/nothing at main");
    await expect(pulls.pull("org/m:v9")).rejects.toThrow("no such revision");
    await expect(pulls.pull("org/private")).rejects.toThrow("set HF_TOKEN if you may read it");
    await expect(pulls.pull("org/private", { token: "wrong" })).rejects.toThrow(
      "does not let this HF_TOKEN read it",
    );
    await expect(pulls.pull("org/gated", { token: "wrong" })).rejects.toThrow(
      /gated: accept its terms on .*\/org\/gated/,
    );
  });

  test("errors never hold the token or a signature", async () => {
    await using pulls = await openPulls({ "org/m": model({ token: "hf_right" }) });
    const down: Fault[] = Array.from({ length: 9 }, () => ({ kind: "status", status: 500 }));
    pulls.fault("model.safetensors", ...down);
    const error: Error = await pulls.pull("org/m", { token: "hf_right" }).then(
      () => new Error("it worked"),
      (thrown: Error) => thrown,
    );
    expect(error.message).toContain("500");
    expect(`${error.stack} ${JSON.stringify(error)} ${String(error.cause)}`).not.toMatch(
      /hf_right|signature/,
    );
  });

  test("references that are none are refused by name", () => {
    expect(parseReference("a/b:refs/pr/1")).toEqual({ repository: "a/b", revision: "refs/pr/1" });
    for (const text of [
      "",
      "a",
      "a/b/c",
      "a/b:",
      "../b",
      "a/..",
      "a/b:../x",
      "a/b?x",
      "a/b#",
      "https://x/a/b",
    ]) {
      expect(() => parseReference(text), text).toThrow("is not ORG/NAME");
    }
  });
});
