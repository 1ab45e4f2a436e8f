/** Storage for Expo and React Native, in a database of expo-sqlite, which the app installs. */
import { openDatabaseAsync } from "expo-sqlite";
import { SqliteStore } from "./sqlite.js";

/** Storage in the database `name`, for one `ExpoStore` at a time. */
export class ExpoStore extends SqliteStore {
  constructor(name = "verbatim.db") {
    super(async () => {
      const database = await openDatabaseAsync(name);
      return {
        run: (statement, ...values) => database.runAsync(statement, values),
        all: (statement, ...values) => database.getAllAsync(statement, values),
      };
    });
  }
}
