/** What a page of tests/clients/typescript/test_indexeddb.py does in Chromium. */
import { type Fetch, Phone } from "verbatim-record";
import { IndexedDbStore } from "verbatim-record/indexeddb";
import { CHECKS } from "./stores.ts";
import { until } from "./until.ts";

const SESSION = "killed";
const store = new IndexedDbStore();

Object.assign(globalThis, {
  /** Returns what the checks of every storage have found, by their sentence. */
  async check(): Promise<Record<string, string>> {
    const found: Record<string, string> = {};
    for (const [sentence, check] of Object.entries(CHECKS)) {
      found[sentence] = await check(store, `vs_${crypto.randomUUID()}`).then(() => "passed", String);
    }
    return found;
  },

  /** Appends rows until the tab is killed; the title is the number of the last durable one. */
  async write(): Promise<void> {
    for (let number = 1; ; number += 1) {
      await store.append(SESSION, [{ number, text: "x".repeat(1_000) }]);
      document.title = `${number}`;
    }
  },

  read: async () => (await store.read(SESSION, 0, 100_000)).map(({ number }) => number),

  /** Returns whether each of three storages, of which the second is the first, gets the same session. */
  claim: () => Promise.all([store, store, new IndexedDbStore()].map((each) => each.claim(SESSION))),

  /** Returns what the storage has after another tab has deleted the database, as a user who clears the site's data does. */
  async cleared(): Promise<number[]> {
    await store.append(SESSION, [{ number: 1, text: "{}" }]);
    await new Promise((resolve, reject) => {
      const request = indexedDB.deleteDatabase("verbatim");
      request.onsuccess = resolve;
      request.onerror = reject;
    });
    await store.append(SESSION, [{ number: 2, text: "{}" }]);
    return (await store.read(SESSION, 0, 9)).map(({ number }) => number);
  },

  /** Returns what two phones of one session, each as in a tab of its own, have put on record, and how much they lost. */
  async both(): Promise<unknown> {
    const said: string[] = [];
    let isOnline = false;
    const fetch: Fetch = async (_, { body }) => {
      if (!isOnline) throw new TypeError("offline");
      const { id, events } = JSON.parse(body) as { id?: string; events?: { event: { content: string } }[] };
      for (const { event } of events ?? []) said.push(event.content);
      const results = events?.map(() => ({ status: 201 }));
      const text = JSON.stringify(results ? { results } : { id, next_client_sequence: 1 });
      return { status: 200, headers: { get: () => null }, text: async () => text };
    };
    const open = () => Phone.open({ api: "", session: "vs_both", store: new IndexedDbStore(), fetch });
    const phones = [open(), open()];
    const say = (word: string) => {
      for (const [tab, phone] of phones.entries()) phone.hear(JSON.stringify({ content: `${word} from ${tab}` }));
    };
    const all = (condition: (state: Phone["state"]) => boolean) => Promise.all(phones.map((each) => until(each, condition)));
    say("one"); // is on its way
    await all(({ online }) => !online);
    say("two");
    await all(({ unsaved }) => unsaved !== 1); // one tab has saved both of its events, the other one none
    isOnline = true;
    for (const phone of phones) phone.wake();
    await all(({ queued, inFlight }) => queued + inFlight === 0);
    return { said: said.sort(), lost: phones.map(({ state }) => state.lost) };
  },
});
