/** Phones that are closed and opened again in any order, on storage that fails by chance: no word is silently gone. */
import assert from "node:assert/strict";
import test from "node:test";
import { MemoryStore, Phone, type Store } from "verbatim-record";
import { said } from "./network.ts";
import { Service } from "./service.ts";
import { chance } from "./talk.ts";

const RATES = [0, 0.1, 0.4, 0.9]; // of the calls of the storage that fail
const METHODS = ["append", "read", "remove", "heads", "putHead", "removeHead"] as const;

const turns = async (count: number) => {
  for (let turn = 0; turn < count; turn += 1) await new Promise(setImmediate);
};

/** Storage that is slow, and fails before or after it has done what it was asked. */
function failing(memory: Store, next: () => number, rate: () => number): Store {
  const method = (name: (typeof METHODS)[number]) => async (...values: unknown[]) => {
    await turns(8 * next());
    if (next() < rate() / 2) throw new Error("The storage is full.");
    const result = await (memory[name] as (...values: unknown[]) => Promise<unknown>)(...values);
    if (result === undefined && next() < rate() / 4) throw new Error("It is written, but nobody knows.");
    await turns(4 * next());
    return result;
  };
  return Object.fromEntries(METHODS.map((name) => [name, method(name)])) as unknown as Store;
}

/** Plays one session, and returns the words that are neither on record nor handed over. */
async function play(seed: number, rates: number[]): Promise<{ gone: string[]; lost: string[] }> {
  const next = chance(seed);
  const any = <T>(values: T[]) => values[Math.floor(values.length * next())]!;
  const [service, words, lost]: [Service, string[], string[]] = [new Service(), [], []];
  let rate = any(rates);
  const store = failing(new MemoryStore(), next, () => rate);
  const onLost = (frame: string | undefined) => lost.push((JSON.parse(frame!) as { content: string }).content);
  const open = () => Phone.open({ ...service.settings, store, session: "vs_words", onLost });
  let phone = open();
  const hear = () => phone.hear(said(words[words.push(`word ${words.length}`) - 1]!));
  const reopen = () => (void phone.close(), (phone = open()));
  const end = () => phone.end("hangup").catch(() => undefined); // the phone was closed before
  const acts = [hear, hear, hear, hear, reopen, end, open, () => (rate = any(rates)), () => (service.isOnline = next() < 0.5)];
  for (let step = 0; step < 25; step += 1) {
    void any(acts)();
    await turns(12 * next());
  }
  service.isOnline = true;
  rate = 0;
  phone = open();
  await phone.end("hangup");
  await phone.close();
  return { gone: words.filter((word) => !service.said.includes(word) && !lost.includes(word)), lost };
}

test("each word is on record or handed over, whatever fails and however often a phone is opened again", async () => {
  for (let seed = 1; seed <= 200; seed += 1) assert.deepEqual((await play(seed, RATES)).gone, [], `seed ${seed}`);
});

test("each word is on record, however often a phone is opened again while it closes", async () => {
  for (let seed = 1; seed <= 100; seed += 1) assert.deepEqual(await play(seed, [0]), { gone: [], lost: [] }, `seed ${seed}`);
});
