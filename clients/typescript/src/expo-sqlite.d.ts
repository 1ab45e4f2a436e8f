/** What `expo.ts` needs of expo-sqlite, which brings the types of React Native along; the app has the module itself. */
declare module "expo-sqlite" {
  export function openDatabaseAsync(name: string): Promise<{
    runAsync(source: string, params: (string | number)[]): Promise<unknown>;
    getAllAsync(source: string, params: (string | number)[]): Promise<unknown[]>;
  }>;
}
