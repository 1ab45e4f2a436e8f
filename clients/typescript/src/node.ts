/** Storage for Node 22.13 or newer, in a file of SQLite. */
import { DatabaseSync } from "node:sqlite";
import { SqliteStore } from "./sqlite.js";

/** Storage in the file at `path`, for one process at a time. */
export class NodeStore extends SqliteStore {
  constructor(path: string) {
    super(async () => {
      const database = new DatabaseSync(path);
      return {
        run: async (statement, ...values) => database.prepare(statement).run(...values),
        all: async (statement, ...values) => database.prepare(statement).all(...values),
      };
    });
  }
}
