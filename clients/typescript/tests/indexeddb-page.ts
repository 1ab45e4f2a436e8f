/** What a page of tests/clients/typescript/test_indexeddb.py does in Chromium. */
import { IndexedDbStore } from "verbatim-record/indexeddb";
import { CHECKS } from "./stores.ts";

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
});
