/** A list of a call that is read part by part, each shown as soon as it is there; the last part is read again. */
import { type ReadonlySignal, signal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import type { Verbatim } from "../api.ts";
import { type Loading, useLoad } from "../load.ts";

const MOST = 40; // parts of 500

interface Part<T> {
  items: readonly T[];
  next_cursor: string | null;
  has_more: boolean;
}

type List<T> = (api: Verbatim, cursor: string | undefined, signal: AbortSignal) => Promise<Part<T>>;

export interface Parts<T> extends Loading<readonly T[]> {
  /** What has been read so far. */
  readonly items: ReadonlySignal<readonly T[]>;
  /** Whether the call has more than is read. */
  readonly cut: ReadonlySignal<boolean>;
}

/** Reads all parts of the list of `key`, and the last part again after each `every` milliseconds (0 for never). */
export function useParts<T>(key: string, list: List<T>, every: number): Parts<T> {
  const walk = useMemo(() => new Walk<T>(), [key]);
  const { state, reload } = useLoad(key, (api, signal) => walk.read((cursor) => list(api, cursor, signal)), { every });
  return { state, reload, items: walk.items, cut: walk.cut };
}

class Walk<T> {
  readonly items = signal<readonly T[]>([]);
  readonly cut = signal(false);
  #full: readonly T[] = []; // of the parts before the last
  #last: string | undefined; // the cursor of the last part
  #parts = 1;

  async read(list: (cursor: string | undefined) => Promise<Part<T>>): Promise<readonly T[]> {
    for (;;) {
      const { items, has_more, next_cursor } = await list(this.#last);
      this.items.value = [...this.#full, ...items];
      this.cut.value = has_more && this.#parts >= MOST;
      if (!has_more || this.cut.value || next_cursor === null) return this.items.value;
      [this.#full, this.#last] = [this.items.value, next_cursor];
      this.#parts += 1;
    }
  }
}
