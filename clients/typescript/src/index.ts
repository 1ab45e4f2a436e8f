export type { Fetch, FetchAnswer, FetchInit } from "./attempt.js";
export * from "./errors.js";
export * from "./memory.js";
export * from "./phone.js";
export type { Refused } from "./queue.js";
export type { Random } from "./random.js";
export * from "./store.js";
