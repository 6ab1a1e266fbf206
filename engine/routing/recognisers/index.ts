/** All recognisers, and one look at a text with all of them. */
import { aadhaar } from "./aadhaar.ts";
import { birth } from "./birth.ts";
import { card } from "./cards.ts";
import { chatExport, chatLog } from "./chat-log.ts";
import { cnIdentity } from "./cn-identity.ts";
import { cnMobile } from "./cn-mobile.ts";
import { cnOrganisation } from "./cn-organisation.ts";
import { email, roleEmail } from "./email.ts";
import { employee } from "./employee.ts";
import { dni, nhs, nino, pesel } from "./europe.ts";
import { hr } from "./hr.ts";
import { iban } from "./iban.ts";
import { ip, privateIp } from "./ip.ts";
import { sin, ssn } from "./north-america.ts";
import { findNumbers } from "./numbers.ts";
import { phone } from "./phone.ts";
import { plate } from "./plate.ts";
import type { Recogniser, Scan } from "./recogniser.ts";
import { salary } from "./salary.ts";
import { password, secret } from "./secrets.ts";
import { travel } from "./travel.ts";
import { WordList } from "./word-list.ts";

export const RECOGNISERS: readonly Recogniser[] = [
  cnIdentity,
  cnMobile,
  cnOrganisation,
  card,
  iban,
  ssn,
  sin,
  nino,
  nhs,
  dni,
  pesel,
  aadhaar,
  travel,
  phone,
  email,
  roleEmail,
  ip,
  privateIp,
  plate,
  birth,
  salary,
  employee,
  secret,
  password,
  chatLog,
  chatExport,
  hr,
];

const WORDS = new WordList(new Map(RECOGNISERS.flatMap(({ words }) => Object.entries(words ?? {}))));

/** A text made ready for all recognisers. */
export const scanOf = (text: string): Scan => ({ text, numbers: findNumbers(text), words: WORDS.find(text) });

/** The recognisers that find something in one view of a text. */
export function recognised(text: string): readonly Recogniser[] {
  const scan = scanOf(text);
  return RECOGNISERS.filter((recogniser) => {
    for (const _ of recogniser.find(scan)) return true;
    return false;
  });
}
