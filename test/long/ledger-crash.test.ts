/** The same as in the normal tests, more often and with other chances. */
import { expect, test } from "vitest";
import { crashes } from "../support/ledger-crashes.ts";

test.each([11, 12, 13])(
  "kill -9 at 40 random points, seed %i: nothing is lost, nothing counts twice",
  async (seed) => {
    for (const { wrong, problems, summed } of await crashes(40, seed))
      expect({ wrong, problems, summed }).toEqual({ wrong: 0, problems: [], summed: true });
  },
);
