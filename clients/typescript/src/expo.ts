/** Storage for Expo and React Native, in a database of expo-sqlite. */
import { SqliteStore } from "./sqlite.js";

/** What the storage needs of the database that `openDatabaseSync` of expo-sqlite returns. */
export interface ExpoDatabase {
  runAsync(source: string, params: (string | number)[]): Promise<unknown>;
  getAllAsync(source: string, params: (string | number)[]): Promise<unknown[]>;
}

/** Storage in two tables of a database, which may have others. Their names begin with `verbatim_`. */
export class ExpoStore extends SqliteStore {
  constructor(database: ExpoDatabase) {
    super(() => ({
      run: (statement, ...values) => database.runAsync(statement, values),
      all: (statement, ...values) => database.getAllAsync(statement, values),
    }));
  }
}
