import type { Head, Row, Store } from "./store.js";

type Value = string | number;

/** What the storage needs of SQLite. */
export interface Sql {
  run(statement: string, ...values: Value[]): Promise<unknown>;
  all(statement: string, ...values: Value[]): Promise<unknown[]>;
}

const SCHEMA = [
  "PRAGMA journal_mode = WAL",
  "PRAGMA synchronous = FULL", // a commit that has returned outlives a loss of power
  "CREATE TABLE IF NOT EXISTS verbatim_rows (session TEXT, number INTEGER, text TEXT, PRIMARY KEY (session, number))",
  "CREATE TABLE IF NOT EXISTS verbatim_heads (session TEXT PRIMARY KEY, head TEXT)",
];

/** Storage in two tables of an SQLite database. Each method is one statement, and so one transaction. */
export class SqliteStore implements Store {
  readonly #open: () => Promise<Sql>;
  #opened: Promise<Sql> | undefined;

  constructor(open: () => Promise<Sql>) {
    this.#open = open;
  }

  async append(session: string, rows: readonly Row[]): Promise<void> {
    const values = JSON.stringify(rows.map(({ number, text }) => [number, text]));
    const columns = "?, json_extract(value, '$[0]'), json_extract(value, '$[1]')";
    await this.#run(`INSERT OR REPLACE INTO verbatim_rows SELECT ${columns} FROM json_each(?)`, session, values);
  }

  async read(session: string, after: number, limit: number): Promise<Row[]> {
    const statement = "SELECT number, text FROM verbatim_rows WHERE session = ? AND number > ? ORDER BY number LIMIT ?";
    return (await (await this.#sql()).all(statement, session, after, limit)) as Row[];
  }

  async remove(session: string, numbers: readonly number[]): Promise<void> {
    const statement = "DELETE FROM verbatim_rows WHERE session = ? AND number IN (SELECT value FROM json_each(?))";
    await this.#run(statement, session, JSON.stringify(numbers));
  }

  async heads(): Promise<Head[]> {
    const rows = await (await this.#sql()).all("SELECT head FROM verbatim_heads");
    return (rows as { head: string }[]).map(({ head }) => JSON.parse(head) as Head);
  }

  async putHead(head: Head): Promise<void> {
    await this.#run("INSERT OR REPLACE INTO verbatim_heads VALUES (?, ?)", head.session, JSON.stringify(head));
  }

  async removeHead(session: string): Promise<void> {
    await this.#run("DELETE FROM verbatim_heads WHERE session = ?", session);
  }

  async #run(statement: string, ...values: Value[]): Promise<void> {
    await (await this.#sql()).run(statement, ...values);
  }

  /** Returns the database with its tables; an attempt that failed is made again. */
  #sql(): Promise<Sql> {
    const prepare = async () => {
      const sql = await this.#open();
      for (const statement of SCHEMA) await sql.all(statement);
      return sql;
    };
    return (this.#opened ??= prepare().catch((error: unknown) => {
      this.#opened = undefined;
      throw error;
    }));
  }
}
