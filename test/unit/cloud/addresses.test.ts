import { describe, expect, test } from "vitest";
import { addressKind, addressRanges } from "../../../engine/cloud/addresses.ts";

describe("the kind of an address", () => {
  test.each([
    "8.8.8.8",
    "1.1.1.1",
    "172.32.0.1",
    "100.128.0.1",
    "192.169.0.1",
    "2606:4700::1",
    "2a00:1450::8a",
  ])("%s is out in the world", (address) => expect(addressKind(address)).toBe("global"));

  test.each([
    ["private", "10.0.0.1"],
    ["private", "172.16.0.1"],
    ["private", "172.31.255.255"],
    ["private", "192.168.1.1"],
    ["loopback", "127.0.0.1"],
    ["loopback", "127.255.0.9"],
    ["link-local, where clouds keep their secrets", "169.254.169.254"],
    ["carrier NAT", "100.64.0.1"],
    ["carrier NAT", "100.127.255.255"],
    ["loopback", "::1"],
    ["link-local", "fe80::1"],
    ["link-local with a zone", "fe80::1%eth0"],
    ["unique local", "fd12:3456::1"],
    ["unique local, a cloud's metadata", "fd00:ec2::254"],
  ])("%s: %s is inside", (_, address) => expect(addressKind(address)).toBe("private"));

  test.each([
    ["mapped", "::ffff:127.0.0.1"],
    ["mapped, in hex", "::ffff:7f00:1"],
    ["mapped, of a global one", "::ffff:8.8.8.8"],
    ["compatible", "::127.0.0.1"],
    ["NAT64", "64:ff9b::7f00:1"],
    ["6to4", "2002:7f00:1::"],
    ["Teredo", "2001:0:1::1"],
    ["documentation", "2001:db8::1"],
    ["site-local, given up", "fec0::1"],
    ["multicast", "ff02::1"],
    ["unspecified", "::"],
    ["unspecified", "0.0.0.0"],
    ["multicast", "224.0.0.1"],
    ["broadcast", "255.255.255.255"],
    ["benchmarks", "198.18.0.1"],
    ["documentation", "203.0.113.7"],
    ["a name", "localhost"],
    ["nothing", ""],
    ["a number that some libraries read as an address", "2130706433"],
  ])("%s: %s is neither", (_, address) => expect(addressKind(address)).toBe("special"));
});

describe("ranges", () => {
  test("hold what lies in them, and no IPv4 address in IPv6 clothes", () => {
    const ranges = addressRanges(["10.1.0.0/16", "192.168.7.7", "fd00::/8"]);
    expect(ranges.has("10.1.2.3")).toBe(true);
    expect(ranges.has("192.168.7.7")).toBe(true);
    expect(ranges.has("fd00::7")).toBe(true);
    expect(ranges.has("10.2.0.1")).toBe(false);
    expect(ranges.has("192.168.7.8")).toBe(false);
    expect(ranges.has("fe80::1")).toBe(false);
    expect(ranges.has("::ffff:10.1.2.3")).toBe(false);
    expect(ranges.has("10.1.2.3.example")).toBe(false);
  });

  test.each([
    "10.0.0.0/33",
    "10.0.0.0/-1",
    "10.0.0.0/",
    "10.0.0.0/8/8",
    "host/8",
    "",
    "fd00::/129",
    "fe80::1%a/64",
  ])("refuse %j", (text) => expect(() => addressRanges([text])).toThrow(RangeError));
});
