/** Where the reader is: the hash of the address, as `#/calls/<id>?at=12`, which no server and no log ever sees. */
import { computed, signal } from "@preact/signals";

export interface Route {
  /** The segments of the path, decoded: `["calls", "<id>"]`. */
  readonly path: readonly string[];
  readonly query: URLSearchParams;
}

export type Query = Readonly<Record<string, string | number | undefined>>;

export const START: readonly string[] = ["calls"];

/** Returns the route that a hash names; that of the start page for an empty hash. */
export function parse(hash: string): Route {
  const [, path = "", query = ""] = /^#?\/?([^?]*)\??(.*)$/s.exec(hash) ?? [];
  const segments = path.split("/").filter(Boolean).map(decoded);
  return { path: segments.length > 0 ? segments : START, query: new URLSearchParams(query) };
}

/** Returns the hash of a place, without parameters that are undefined or empty. */
export function href(path: readonly string[], query: Query | URLSearchParams = {}): string {
  const pairs = query instanceof URLSearchParams ? [...query] : Object.entries(query);
  const kept = pairs.filter(([, value]) => value !== undefined && value !== "").map(([name, value]) => [name, `${value}`]);
  const search = new URLSearchParams(kept).toString();
  return `#/${path.map(encodeURIComponent).join("/")}${search && `?${search}`}`;
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

const hash = signal(globalThis.location?.hash ?? "");
export const route = computed(() => parse(hash.value));

let moved = false; // whether the reader has come here from another place of the console

globalThis.addEventListener?.("hashchange", () => {
  moved = true;
  hash.value = location.hash;
});

/** Goes to a place; with `replace` the place before is not kept in the history, as for a filter that changes. */
export function go(to: string, { replace = false } = {}): void {
  if (to === location.hash) return;
  if (replace) history.replaceState(history.state, "", to);
  else history.pushState(null, "", to);
  moved ||= !replace;
  hash.value = to;
}

/** Goes back to where the reader came from, or to `otherwise` if that was not in the console. */
export function back(otherwise: string): void {
  if (moved) history.back();
  else go(otherwise);
}
