/**
 * An app in a call, which the torture kills: it hears what it has not heard yet, and ends the call.
 *
 * It writes lines of JSON: how many events its storage has, what was refused, and at last the receipt.
 */
import { Phone, type PhoneSettings, type Refused } from "verbatim-record";
import { NodeStore } from "verbatim-record/node";
import { chance, talk } from "./talk.ts";

/** What is noted in place of a number, when the app is about to take what was refused. */
export const TAKING = Number.MAX_SAFE_INTEGER;

/** Hears the frames that the session does not have yet, a few at a time, and ends it; `note` is told what the storage has. */
export async function converse(
  phone: Phone,
  frames: string[],
  next: () => number,
  note: (saved: number) => void,
): Promise<{ receipt: Awaited<ReturnType<Phone["end"]>>; refused: Refused[] }> {
  await phone.begin(); // the number that the session has reached says what was heard
  phone.subscribe(() => note(phone.last - phone.state.unsaved));
  while (phone.last < frames.length) {
    const heard = phone.last;
    for (const frame of frames.slice(heard, heard + 1 + Math.floor(4 * next()))) phone.hear(frame);
    await new Promise((resolve) => setTimeout(resolve, 20 * next()));
  }
  const receipt = await phone.end("hangup");
  note(TAKING);
  return { receipt, refused: phone.takeRefused() };
}

/** Pauses of a sixteenth of those that people see. */
export function brisk(bytes: Uint8Array<ArrayBuffer>): void {
  crypto.getRandomValues(bytes);
  if (bytes.length === 2) bytes[0]! >>= 4;
}

if (import.meta.main) {
  const [api, file, session, conversation, seed, hours] = process.argv.slice(2) as string[];
  const write = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);
  const settings: PhoneSettings = { api: api!, store: new NodeStore(file!), random: brisk, now: () => Date.now() + 3_600_000 * Number(hours) };
  const phone = Phone.open({ ...settings, session: session!, ...(conversation && { conversation }) });
  write(await converse(phone, talk(Number(seed)), chance(Number(seed)), (saved) => write({ saved })));
}
