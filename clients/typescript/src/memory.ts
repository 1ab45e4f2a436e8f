import type { Head, Row, Store } from "./store.js";

/** Storage that ends with the app, for tests, and for apps that may lose what is not yet on record. */
export class MemoryStore implements Store {
  readonly #rows = new Map<string, Map<number, string>>();
  readonly #heads = new Map<string, Head>();

  async append(session: string, rows: readonly Row[]): Promise<void> {
    const kept = this.#rows.get(session) ?? new Map<number, string>();
    this.#rows.set(session, kept);
    for (const { number, text } of rows) kept.set(number, text);
  }

  async read(session: string, after: number, limit: number): Promise<Row[]> {
    const numbers = [...(this.#rows.get(session)?.keys() ?? [])].filter((number) => number > after);
    numbers.sort((one, other) => one - other);
    return numbers.slice(0, limit).map((number) => ({ number, text: this.#rows.get(session)!.get(number)! }));
  }

  async remove(session: string, numbers: readonly number[]): Promise<void> {
    for (const number of numbers) this.#rows.get(session)?.delete(number);
    if (!this.#rows.get(session)?.size) this.#rows.delete(session);
  }

  async heads(): Promise<Head[]> {
    return [...this.#heads.values()];
  }

  async putHead(head: Head): Promise<void> {
    this.#heads.set(head.session, { ...head });
  }

  async removeHead(session: string): Promise<void> {
    this.#heads.delete(session);
  }
}
