/** Storage for React Native, in AsyncStorage of any release. */
import type { Head, Row, Store } from "./store.js";

/** What the storage needs of AsyncStorage. */
export interface AsyncStorageLike {
  getItem(key: string): Promise<string | null>;
  setItem(key: string, value: string): Promise<void>;
  removeItem(key: string): Promise<void>;
  getAllKeys(): Promise<readonly string[]>;
}

const ROW = "verbatim/row/";
const PART = "verbatim/part/";
const HEAD = "verbatim/head/";
const LONGEST = 500_000; // UTF-16 units of a value; Android cannot read back one of more than about 2 MB
const PARTS = /^\d+$/; // the value of a row in parts is the number of its parts

/**
 * Storage with one key for each event, whose names begin with `verbatim/`. Android gives AsyncStorage 6 MB unless the app
 * asks for more, so prefer SQLite (`verbatim-record/expo`).
 */
export class AsyncStorageStore implements Store {
  readonly #storage: AsyncStorageLike;

  constructor(storage: AsyncStorageLike) {
    this.#storage = storage;
  }

  async append(session: string, rows: readonly Row[]): Promise<void> {
    for (const { number, text } of rows) {
      const name = `${session}/${number}`;
      const parts = Math.ceil(text.length / LONGEST);
      for (let part = 0; parts > 1 && part < parts; part += 1) {
        await this.#storage.setItem(`${PART}${name}/${part}`, text.slice(part * LONGEST, (part + 1) * LONGEST));
      }
      await this.#storage.setItem(ROW + name, parts > 1 ? `${parts}` : text);
    }
  }

  async read(session: string, after: number, limit: number): Promise<Row[]> {
    const names = await this.#names(`${ROW}${session}/`);
    const numbers = names.map(Number).filter((number) => number > after);
    numbers.sort((one, other) => one - other);
    const read = async (number: number) => ({ number, text: await this.#text(`${session}/${number}`) });
    return Promise.all(numbers.slice(0, limit).map(read));
  }

  async remove(session: string, numbers: readonly number[]): Promise<void> {
    // Also the parts of a row that has been replaced by a short one, or that did not fit.
    const parts = await this.#names(`${PART}${session}/`);
    for (const number of numbers) {
      await this.#storage.removeItem(`${ROW}${session}/${number}`);
      for (const part of parts) {
        if (part.startsWith(`${number}/`)) await this.#storage.removeItem(`${PART}${session}/${part}`);
      }
    }
  }

  async heads(): Promise<Head[]> {
    const names = await this.#names(HEAD);
    const texts = await Promise.all(names.map((name) => this.#storage.getItem(HEAD + name)));
    // One may have been removed since its name was read.
    return texts.filter((text) => text !== null).map((text) => JSON.parse(text) as Head);
  }

  async putHead(head: Head): Promise<void> {
    await this.#storage.setItem(HEAD + head.session, JSON.stringify(head));
  }

  async removeHead(session: string): Promise<void> {
    await this.#storage.removeItem(HEAD + session);
  }

  async #names(prefix: string): Promise<string[]> {
    const keys = await this.#storage.getAllKeys();
    return keys.filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
  }

  async #text(name: string): Promise<string> {
    const value = (await this.#storage.getItem(ROW + name)) ?? "";
    const parts = Array.from({ length: partsOf(value) }, (_, part) => this.#storage.getItem(`${PART}${name}/${part}`));
    return parts.length > 0 ? (await Promise.all(parts)).join("") : value;
  }
}

function partsOf(value: string | null): number {
  return PARTS.test(value ?? "") ? Number(value) : 0;
}
