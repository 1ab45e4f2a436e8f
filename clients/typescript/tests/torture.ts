/**
 * Calls over a network that fails in each way, by apps that are killed, on storage that fails, with clocks that jump.
 *
 *     node tests/torture.ts CALLS SEED     with VERBATIM_URL; prints what was done as JSON, and fails at the first untruth
 *
 * An app hears its frames in order, so frame n has number n in its session. After a kill it goes on with the first frame
 * that the session does not have. What is true in the end of each session: its messages are what was heard, in order; the
 * receipt names exactly what is not on record; that was either refused, and the app has it with its problem, or was heard
 * just before a kill and not yet in the storage.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { MemoryStore, Phone, type Receipt, type Refused, type Store } from "verbatim-record";
import { AsyncStorageStore } from "verbatim-record/async-storage";
import { NodeStore } from "verbatim-record/node";
import { badProxy } from "./bad-proxy.ts";
import { AsyncStorageStandIn, standInForExpo } from "./stand-ins.ts";
import { chance, contentOf, isRefusable, talk } from "./talk.ts";
import { brisk, converse, TAKING } from "./torture-app.ts";

standInForExpo();
const { ExpoStore } = await import("verbatim-record/expo");

const [calls = 20, seed = 1] = process.argv.slice(2).map(Number);
const service = process.env["VERBATIM_URL"]!;
const folder = mkdtempSync(join(tmpdir(), "torture-"));
const proxy = await badProxy(service, seed, 0.25);
const api = `${proxy.url}/api/v1`;
const AT_ONCE = 8;
const SLOW = 2_000; // milliseconds
const counts = {
  calls: 0,
  sessions: 0,
  events: 0,
  kills: 0,
  "kills by SIGKILL": 0,
  "storage failures": 0,
  refused: 0,
  "heard just before a kill": 0,
  duplicates: 0,
};

interface Call {
  session: string;
  conversation: string | undefined;
  frames: string[];
  seed: number;
  next: () => number;
  hours: () => number;
}

interface Found {
  receipt: Receipt;
  refused: Refused[];
  /** Numbers that the storage may not have had when the app was killed. */
  unsaved: Set<number>;
}

/** Storage that fails and is slow, and of which nothing more reaches the disk once the app is dead. */
class Failing {
  isDead = false;
  readonly store: Store;

  constructor(store: Store, next: () => number, die: () => void, deaths: boolean) {
    const method = (name: keyof Store) => async (...values: unknown[]) => {
      const act = () => (store[name] as (...values: unknown[]) => Promise<unknown>).apply(store, values);
      if (this.isDead) return new Promise(() => {});
      const fate = next();
      if (fate < 0.05) {
        counts["storage failures"] += 1;
        throw new Error(name.startsWith("read") ? "The row cannot be read." : "The storage is full.");
      }
      if (fate < 0.055) await new Promise((resolve) => setTimeout(resolve, SLOW));
      if (deaths && fate > 0.98) {
        if (fate > 0.99) await act().catch(() => undefined);
        this.isDead = true;
        die();
        return new Promise(() => {});
      }
      return act();
    };
    const names = ["append", "read", "remove", "heads", "putHead", "removeHead"] as const;
    this.store = Object.fromEntries(names.map((name) => [name, method(name)])) as unknown as Store;
  }
}

/** Plays a call in this process: a dead app's storage and network do nothing any more. */
async function inProcess({ session, conversation, frames, next, hours }: Call, store: Store): Promise<Found> {
  const unsaved = new Set<number>();
  for (let life = 1; ; life += 1) {
    let [saved, heard] = [0, 0];
    let die = () => {};
    const dead = new Promise<undefined>((resolve) => (die = () => resolve(undefined)));
    const failing = new Failing(store, next, die, life < 6);
    const open = () =>
      Phone.open({
        api, store: failing.store, session, random: brisk, now: () => Date.now() + 3_600_000 * hours(),
        fetch: (url, init) => (failing.isDead ? new Promise<never>(() => {}) : fetch(url, init)),
        ...(conversation && { conversation }),
      });
    const note = (...counted: [number, number]) => void ([saved, heard] = counted);
    const found = await Promise.race([converse(open, store, session, frames, next, note), dead]);
    if (found) return { ...found, unsaved };
    counts.kills += 1;
    for (let number = saved + 1; number <= heard + 1; number += 1) unsaved.add(number);
    await restart();
  }
}

/** Lets what the network still holds of a killed app arrive, before a person has started the app again. */
const restart = () => new Promise((resolve) => setTimeout(resolve, 600));

/** Plays a call in a process of its own, which is killed. */
async function inChild({ session, conversation, frames, seed, next, hours }: Call): Promise<Found> {
  const unsaved = new Set<number>();
  for (let life = 1; ; life += 1) {
    const app = new URL("torture-app.ts", import.meta.url).pathname;
    const words = [api, join(folder, `${session}.sqlite`), session, conversation ?? "", `${seed}`, `${hours()}`];
    const child = spawn(process.execPath, ["--no-warnings", app, ...words], { stdio: ["ignore", "pipe", "inherit"] });
    const timer = life < 5 ? setTimeout(() => child.kill("SIGKILL"), 250 + 1_000 * next()) : undefined;
    let saved = 0;
    let found: Omit<Found, "unsaved"> | undefined;
    for await (const line of createInterface(child.stdout)) {
      const said = JSON.parse(line) as { saved?: number } & Omit<Found, "unsaved">;
      if (said.saved === undefined) found = said;
      else saved = said.saved;
      if (saved === TAKING) clearTimeout(timer); // what it takes now, nobody else will see
    }
    clearTimeout(timer);
    if (found) return { ...found, unsaved };
    assert.equal(child.signalCode ?? "SIGKILL", "SIGKILL");
    counts.kills += 1;
    counts["kills by SIGKILL"] += 1;
    for (let number = saved + 1; number <= frames.length; number += 1) unsaved.add(number);
    await restart();
  }
}

const STORES: ((name: string) => Store)[] = [
  () => new MemoryStore(),
  (name) => new NodeStore(join(folder, `${name}.sqlite`)),
  (name) => new ExpoStore(join(folder, `${name}.sqlite`)),
  () => new AsyncStorageStore(new AsyncStorageStandIn()),
];

async function play(number: number): Promise<void> {
  const next = chance(1_000 * seed + number);
  const isShared = next() < 0.2;
  let conversation: string | undefined;
  if (isShared) {
    const options = { method: "POST", headers: { "content-type": "application/json" }, body: '{"context_type": "voice"}' };
    conversation = ((await (await fetch(`${service}/api/v1/conversations`, options)).json()) as { id: string }).id;
  }
  const phones = Array.from({ length: isShared ? 2 : 1 }, async (_, phone) => {
    const own = 1_000 * number + phone;
    const jump = next() < 0.3 ? 48 : 0;
    const hours = () => jump * (next() - 0.5);
    const session = `vs_${randomUUID().replaceAll("-", "")}`;
    const call: Call = { session, conversation, frames: talk(own), seed: own, next: chance(own), hours };
    const place = Math.floor((STORES.length + 1) * next());
    const found = await (place === STORES.length ? inChild(call) : inProcess(call, STORES[place]!(call.session)));
    await assertTrue(call, found);
  });
  await Promise.all(phones);
  counts.calls += 1;
}

async function assertTrue({ session, frames }: Call, { receipt, refused, unsaved }: Found): Promise<void> {
  const read = async <T>(path: string) => (await (await fetch(`${service}/api/v1/${path}`)).json()) as T;
  const { conversation_id } = await read<{ conversation_id: string }>(`voice/sessions/${session}`);
  type Message = { content: string; voice_session_id: string; client_sequence: number };
  const transcript = await read<{ messages: Message[] }>(`conversations/${conversation_id}/transcript`);
  const messages = transcript.messages.filter((message) => message.voice_session_id === session);

  const missing = new Set<number>();
  for (const [first, last] of receipt.missing) for (let number = first; number <= last; number += 1) missing.add(number);
  assert.equal(receipt.expected, frames.length);
  assert.equal(receipt.received, frames.length - missing.size);
  for (const { number, problem, text } of refused) {
    assert.ok(isRefusable(frames[number - 1]!));
    assert.equal(problem.status, 422);
    assert.ok(text.includes(frames[number - 1]!));
    assert.ok(missing.delete(number));
  }
  assert.equal(receipt.client_lost, refused.length);
  assert.equal(receipt.complete, missing.size + refused.length === 0);
  for (const number of missing) assert.ok(unsaved.has(number), `Event ${number} of ${session} is gone.`);
  const expected = frames.flatMap((frame, place) => {
    const content = contentOf(frame);
    return content === undefined || missing.has(place + 1) ? [] : [[place + 1, content]];
  });
  assert.deepEqual(messages.map(({ client_sequence, content }) => [client_sequence, content]), expected);

  counts.sessions += 1;
  counts.events += frames.length;
  counts.refused += refused.length;
  counts["heard just before a kill"] += missing.size;
  counts.duplicates += receipt.duplicates;
}

let number = 0;
const begun = performance.now();
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    while (number < calls) await play((number += 1));
  }),
);
proxy.close();
rmSync(folder, { recursive: true });
console.log(JSON.stringify({ ...counts, requests: proxy.counts, seconds: Math.round((performance.now() - begun) / 1_000) }));
process.exit();
