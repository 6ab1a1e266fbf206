/** site.yaml: tariffs by hour and weekday, hardware, rates; what is refused with which words. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { localCost, sitePriced } from "../../../engine/metering/site.ts";
import { YamlFileError } from "../../../server/checked-yaml.ts";
import { DEFAULT_SITE, loadSite, parseSite } from "../../../server/metering/site-file.ts";

const EXAMPLE = new URL("../../../site.example.yaml", import.meta.url).pathname;
const example = readFileSync(EXAMPLE, "utf8");
const SMALL = `version: 1
time_zone: America/New_York
tariff: { per_kwh: 0.1, source: test }
`;
const refused = (text: string): readonly string[] => {
  try {
    parseSite(text, "site.yaml");
    return [];
  } catch (error) {
    expect(error).toBeInstanceOf(YamlFileError);
    return (error as Error).message.split("\n");
  }
};

describe("a site file", () => {
  test("is the example, hour by hour", () => {
    const site = loadSite(EXAMPLE);
    const [monday, saturday] = [site.tariff.slice(0, 24), site.tariff.slice(120, 144)];
    expect(monday.map((each) => each / 1e9)).toEqual(
      Array.from({ length: 24 }, (_, hour) => (hour >= 8 && hour < 20 ? 0.26 : 0.19)),
    );
    expect(saturday.map((each) => each / 1e9)).toEqual(
      Array.from({ length: 24 }, (_, hour) => (hour >= 11 && hour < 16 ? 0.12 : 0.19)),
    );
    expect(site.carbon.filter((each) => each === 250_000)).toHaveLength(35);
    expect(site).toMatchObject({
      pueMicro: 1_350_000,
      // 9000 * 0.9 / (5 * 4380) + 28000 * 0.8 / (4 * 4383)
      hardwarePicoPerHour: 369_863_013_699n + 1_277_663_700_662n,
      power: { idleWatts: 180, busyWatts: 900 },
    });
    expect(site.rates.map(({ currency, nanoPerUsd }) => [currency, nanoPerUsd])).toEqual([
      ["EUR", 860_000_000],
    ]);
  });

  test("needs no more than a zone and a tariff", () => {
    expect(parseSite(SMALL, "site.yaml")).toMatchObject({
      pueMicro: 1_000_000,
      hardwarePicoPerHour: 0n,
      carbon: DEFAULT_SITE.carbon,
      power: { idleWatts: undefined, busyWatts: undefined },
    });
  });

  test("has hours that go past midnight, each on the day that it lies in, and the first entry wins", () => {
    const site = parseSite(
      `${SMALL.replace("tariff: { per_kwh: 0.1, source: test }", "tariff:")}  per_kwh: 0.1
  source: test
  hours:
    - { days: [mon], from: 22, to: 6, per_kwh: 0.2 }
    - { from: 0, to: 24, per_kwh: 0.3 }
`,
      "site.yaml",
    );
    const on = (day: number) => site.tariff.slice(day * 24, day * 24 + 24).map((each) => each / 1e9);
    expect(on(0)).toEqual(Array.from({ length: 24 }, (_, hour) => (hour < 6 || hour >= 22 ? 0.2 : 0.3)));
    expect(on(1)).toEqual(Array.from({ length: 24 }, () => 0.3));
  });

  test("has a version of what it says, whatever the order and the comments", () => {
    const version = (text: string) => parseSite(text, "f").version;
    expect(version(SMALL)).toMatch(/^[0-9a-f]{12}$/);
    expect(version(`# mine\n${SMALL}pue: 1\n`)).toBe(version(SMALL));
    expect(version(SMALL.split("\n").toReversed().join("\n"))).toBe(version(SMALL));
    expect(version(SMALL.replace("0.1", "0.11"))).not.toBe(version(SMALL));
  });

  test("is refused with every problem and its line", () => {
    const bad = example
      .replace("Europe/Berlin", "Europe/Bonn")
      .replace("per_kwh: 0.19 ", "per_kwh: -1 ")
      .replace("[sat, sun]", "[sat, sonntag]")
      .replace("to: 20", "to: 20.5")
      .replace("pue: 1.35", "pue: 0.9")
      .replace("life_years: 4", "life_years: 0");
    expect(refused(bad)).toEqual([
      "site.yaml:6: time_zone: must be a time zone of the IANA database, such as Europe/Berlin",
      "site.yaml:14: tariff.per_kwh: must be a number from 0 to 1000000",
      "site.yaml:17: tariff.hours.0.to: must be a whole hour",
      "site.yaml:18: tariff.hours.1.days.1: must be some of mon, tue, wed, thu, fri, sat, sun",
      "site.yaml:21: pue: must be a number from 1 to 10",
      "site.yaml:32: hardware.1.life_years: must be a number from 0.1 to 100",
    ]);
    expect(refused(SMALL.replace("America/New_York", '"+01:00"'))[0]).toContain("must be a time zone");
  });

  test("is refused where figures do not fit together", () => {
    expect(refused(example.replace("EUR, from", "CHF, from"))).toEqual([
      "site.yaml:9: currency: there is no rate of EUR under rates",
    ]);
    expect(refused(example.replace("from: 8, to: 20", "from: 8, to: 8"))).toEqual([
      "site.yaml:17: tariff.hours.0.to: must differ from `from`; 0 to 24 is a whole day",
    ]);
    const machine = "must say either hours_per_year or utilisation: how much it is expected to work";
    expect(refused(example.replace(", utilisation: 0.5", ""))).toEqual([
      `site.yaml:32: hardware.1: ${machine}`,
    ]);
    expect(refused(example.replace("utilisation: 0.5", "utilisation: 0.5, hours_per_year: 1"))).toEqual([
      `site.yaml:32: hardware.1: ${machine}`,
    ]);
    expect(refused(example.replace("per_usd: 0.86", "per_usd: 0.0001"))).toEqual([
      "site.yaml:14: tariff.per_kwh: is more than 1000 dollars a kWh",
      "site.yaml:17: tariff.hours.0.per_kwh: is more than 1000 dollars a kWh",
      "site.yaml:18: tariff.hours.1.per_kwh: is more than 1000 dollars a kWh",
    ]);
    expect(refused(example.replace("hours_per_year: 4380", "hours_per_year: 0.001"))[0]).toContain(
      "hours_per_year",
    );
    expect(
      refused(example.replace("price: 9000, life_years: 5", "price: 9000000000, life_years: 1")),
    ).toEqual(["site.yaml:31: hardware: comes to more than 1000000 dollars for an hour of work"]);
    expect(refused(example.replace("idle_watts: 180", "idle_watts: 901"))).toEqual([
      "site.yaml:35: power.idle_watts: must not be more than busy_watts",
    ]);
  });
});

test("without a file energy costs the world's average, hardware nothing, and the ledger says by what", () => {
  const site = loadSite(undefined);
  expect(sitePriced(site)).toBe("site:default");
  const uj = 3.6e12;
  const energy = { uj, lowUj: uj, highUj: uj, tier: "measured" } as Parameters<typeof localCost>[1]["energy"];
  expect(localCost(site, { energy, fromMs: 0, toMs: 3_600_000, busyMs: 3_600_000 })).toEqual({
    price: 0,
    energy: 155_000,
    hardware: 0,
  });
});
