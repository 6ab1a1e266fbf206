/**
 * What kind of place an IP address is: out in the world, inside a network, or neither. By the special-purpose registries
 * of IANA: https://www.iana.org/assignments/iana-ipv4-special-registry and .../iana-ipv6-special-registry
 */
import { BlockList, isIP } from "node:net";

/**
 * `global`: routed on the internet. `private`: this host, this link, this site (RFC 1918, loopback, link-local, carrier
 * NAT, unique local). `special`: all else, such as addresses that carry another one inside (mapped, NAT64, 6to4).
 */
export type AddressKind = "global" | "private" | "special";

const PRIVATE = [
  "10.0.0.0/8",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "100.64.0.0/10",
  "::1/128",
  "fe80::/10",
  "fc00::/7",
];

const SPECIAL_V4 = [
  "0.0.0.0/8",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/4",
  "240.0.0.0/4",
];

/** Of IPv6 only this is given out for the internet; the parts below it are not ordinary hosts. */
const GLOBAL_V6 = ["2000::/3"];
const SPECIAL_V6 = ["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"];

export interface AddressRanges {
  has(address: string): boolean;
}

/** `10.0.0.0/8`, `fd00::/8`, or one address. Throws RangeError, naming the text, where it is no such thing. */
export function addressRanges(texts: readonly string[]): AddressRanges {
  const v4 = new BlockList();
  const v6 = new BlockList();
  for (const text of texts) {
    const [network = "", bits, more] = text.split("/");
    const family = isIP(network);
    const widest = family === 6 ? 128 : 32;
    const prefix = bits === undefined ? widest : /^\d{1,3}$/.test(bits) ? Number(bits) : -1;
    if (family === 0 || more !== undefined || prefix < 0 || prefix > widest || network.includes("%")) {
      throw new RangeError(`${JSON.stringify(text.slice(0, 60))} is no address range such as 10.0.0.0/8`);
    }
    if (family === 6) v6.addSubnet(network, prefix, "ipv6");
    else v4.addSubnet(network, prefix, "ipv4");
  }
  return {
    has(address) {
      const family = isIP(address);
      if (family === 4) return v4.check(address, "ipv4");
      // Two lists, because one list finds IPv4 rules in mapped IPv6 addresses.
      return family === 6 && v6.check(bare(address), "ipv6");
    },
  };
}

const privateRanges = addressRanges(PRIVATE);
const globalV6 = addressRanges(GLOBAL_V6);
const special = addressRanges([...SPECIAL_V4, ...SPECIAL_V6]);

/** What is no address at all is `special`. */
export function addressKind(address: string): AddressKind {
  const family = isIP(address);
  if (family === 0) return "special";
  if (privateRanges.has(address)) return "private";
  if (special.has(address)) return "special";
  return family === 4 || globalV6.has(address) ? "global" : "special";
}

/** Without the zone (`fe80::1%eth0`). */
const bare = (address: string): string => address.split("%")[0] ?? "";
