export * from "./errors.js";
export * from "./store.js";
export type { Service } from "./transport.js";
export type * from "./types.js";
export * from "./verbatim.js";
