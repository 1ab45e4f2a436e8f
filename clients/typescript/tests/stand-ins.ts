/** The storage of phones, played in Node: AsyncStorage with Android's bound on rows, and expo-sqlite on node:sqlite. */
import { registerHooks } from "node:module";
import { DatabaseSync } from "node:sqlite";
import type { AsyncStorageLike } from "verbatim-record/async-storage";

const CURSOR_WINDOW = 2 * 2 ** 20; // bytes; Android reads no longer row

/** AsyncStorage of Android: it writes any row, and fails to read back a long one. */
export class AsyncStorageStandIn implements AsyncStorageLike {
  readonly #values = new Map<string, string>();

  async getItem(key: string): Promise<string | null> {
    const value = this.#values.get(key) ?? null;
    if (Buffer.byteLength(value ?? "") > CURSOR_WINDOW) throw new Error("Row too big to fit into CursorWindow");
    return value;
  }

  async setItem(key: string, value: string): Promise<void> {
    this.#values.set(key, value);
  }

  async removeItem(key: string): Promise<void> {
    this.#values.delete(key);
  }

  async getAllKeys(): Promise<readonly string[]> {
    return [...this.#values.keys()];
  }
}

const EXPO = `data:text/javascript,export const openDatabaseAsync = (name) => globalThis.openExpoDatabase(name);`;

/** Lets `import "expo-sqlite"` give a stand-in that opens files of node:sqlite. */
export function standInForExpo(): void {
  Object.assign(globalThis, {
    async openExpoDatabase(name: string) {
      const database = new DatabaseSync(name);
      return {
        runAsync: async (source: string, params: (string | number)[]) => database.prepare(source).run(...params),
        getAllAsync: async (source: string, params: (string | number)[]) => database.prepare(source).all(...params),
      };
    },
  });
  registerHooks({
    resolve: (specifier, context, next) =>
      specifier === "expo-sqlite" ? { url: EXPO, shortCircuit: true } : next(specifier, context),
  });
}
