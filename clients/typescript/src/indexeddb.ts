/** Storage for browsers. */
import type { Head, Row, Store } from "./store.js";

const ROWS = "rows";
const HEADS = "heads";

/**
 * Storage in a database of IndexedDB, which is durable when a write resolves (`durability: "strict"`). A browser may delete
 * it when the disk is full, unless the page has asked for `navigator.storage.persist()`.
 */
export class IndexedDbStore implements Store {
  readonly #name: string;
  readonly #claims = new Map<string, Promise<boolean>>();
  #opened: Promise<IDBDatabase> | undefined;

  constructor(name = "verbatim") {
    this.#name = name;
  }

  async append(session: string, rows: readonly Row[]): Promise<void> {
    await this.#write(ROWS, (store) => rows.forEach(({ number, text }) => store.put(text, [session, number])));
  }

  async read(session: string, after: number, limit: number): Promise<Row[]> {
    const range = IDBKeyRange.bound([session, after], [session, Infinity], true);
    const store = (await this.#database()).transaction(ROWS).objectStore(ROWS);
    const [keys, texts] = await Promise.all([result(store.getAllKeys(range, limit)), result(store.getAll(range, limit))]);
    return keys.map((key, place) => ({ number: (key as [string, number])[1], text: texts[place] as string }));
  }

  async remove(session: string, numbers: readonly number[]): Promise<void> {
    await this.#write(ROWS, (store) => numbers.forEach((number) => store.delete([session, number])));
  }

  async heads(): Promise<Head[]> {
    return result((await this.#database()).transaction(HEADS).objectStore(HEADS).getAll());
  }

  async putHead(head: Head): Promise<void> {
    await this.#write(HEADS, (store) => store.put(head, head.session));
  }

  async removeHead(session: string): Promise<void> {
    await this.#write(HEADS, (store) => store.delete(session));
  }

  claim(session: string): Promise<boolean> {
    const claim = this.#claims.get(session) ?? lock(`${this.#name}/${session}`);
    this.#claims.set(session, claim);
    return claim;
  }

  async #write(name: string, change: (store: IDBObjectStore) => void): Promise<void> {
    const transaction = (await this.#database()).transaction(name, "readwrite", { durability: "strict" });
    change(transaction.objectStore(name));
    await new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
    });
  }

  /** Returns the open database; opens it again if the browser has closed it, or an attempt has failed. */
  #database(): Promise<IDBDatabase> {
    const forget = () => (this.#opened = undefined);
    const open = async () => {
      const request = indexedDB.open(this.#name, 1);
      request.onupgradeneeded = () => [ROWS, HEADS].forEach((name) => request.result.createObjectStore(name));
      const database = await result(request);
      database.onclose = forget;
      database.onversionchange = () => {
        database.close();
        forget(); // closed by ourselves it tells nobody
      };
      return database;
    };
    return (this.#opened ??= open().catch((error: unknown) => {
      forget();
      throw error;
    }));
  }
}

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** Holds a lock as long as this tab is open, and returns whether no other tab has it. */
function lock(name: string): Promise<boolean> {
  return new Promise((resolve) => {
    const hold = (held: Lock | null) => {
      resolve(held !== null);
      return held && new Promise(() => {});
    };
    // Pages that are not served by HTTPS have no locks.
    if (navigator.locks) navigator.locks.request(name, { ifAvailable: true }, hold).catch(() => resolve(true));
    else resolve(true);
  });
}
