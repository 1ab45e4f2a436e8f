/**
 * An app in a call, which the torture kills: it hears what it has not heard yet, and ends the call.
 *
 * It writes lines of JSON: how many events its storage has, what was refused, and at last the receipt.
 */
import { Phone, type Receipt, type Refused, type Store } from "verbatim-record";
import { NodeStore } from "verbatim-record/node";
import { chance, talk } from "./talk.ts";

/** What is noted in place of a number, when the app is about to take what was refused. */
export const TAKING = Number.MAX_SAFE_INTEGER;

/** Returns the highest number that a storage knows of. */
async function lastOf(store: Store, session: string): Promise<number> {
  const rows = [...(await store.read(session, 0, 1_000)), ...(await store.read(`${session}/given-up`, 0, 1_000))];
  const head = (await store.heads()).find((each) => each.session === session);
  return Math.max(head?.last ?? 0, ...rows.map(({ number }) => number));
}

/**
 * Hears the frames that the session does not have yet, a few at a time, and ends it. `store` is the phone's, but does not
 * fail; `note` is told how many frames are kept whatever happens.
 */
export async function converse(
  open: () => Phone,
  store: Store,
  session: string,
  frames: string[],
  next: () => number,
  note: (saved: number, heard: number) => void,
): Promise<{ receipt: Receipt; refused: Refused[] }> {
  let heard = await lastOf(store, session);
  const phone = open();
  heard = Math.max(heard, (await phone.begin()).next_client_sequence - 1);
  phone.subscribe(() => note(heard - phone.state.unsaved, heard));
  for (; heard < frames.length; heard += 1) {
    phone.hear(frames[heard]!);
    if (next() < 0.4) await new Promise((resolve) => setTimeout(resolve, 20 * next()));
  }
  const receipt = await phone.end("hangup");
  note(TAKING, heard);
  return { receipt, refused: phone.takeRefused() };
}

/** Pauses of a sixteenth of those that people see. */
export function brisk(bytes: Uint8Array<ArrayBuffer>): void {
  crypto.getRandomValues(bytes);
  if (bytes.length === 1) bytes[0]! >>= 4;
}

if (import.meta.main) {
  const [api = "", file = "", session = "", conversation, seed, hours] = process.argv.slice(2);
  const write = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);
  const store = new NodeStore(file);
  const now = () => Date.now() + 3_600_000 * Number(hours);
  const open = () => Phone.open({ api, store, session, random: brisk, now, ...(conversation && { conversation }) });
  const next = chance(Number(seed));
  write(await converse(open, store, session, talk(Number(seed)), next, (saved) => write({ saved })));
}
