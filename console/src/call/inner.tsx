import type { ComponentChildren } from "preact";
import { isPassing } from "../api.ts";
import type { Loading } from "../load.ts";
import { Skeleton } from "../parts/loaded.tsx";
import { Problem } from "../parts/problem.tsx";

interface Props<T> {
  of: Loading<T>;
  /** How many grey lines stand for it. */
  lines: number;
  /** Whether there is something to show before all is read. */
  isThere?: boolean;
  children: () => ComponentChildren;
}

/** A part of a page inside of a `Loaded`, which says for all of them when the data grow old. */
export function Inner<T>({ of: loading, lines, isThere = false, children }: Props<T>) {
  const { data, error, loading: busy } = loading.state.value;
  const shown = data !== undefined || isThere;
  return (
    <div aria-busy={busy}>
      {error !== undefined && !(shown && isPassing(error)) && <Problem error={error} again={loading.reload} />}
      {shown ? children() : error === undefined && <Skeleton lines={lines} />}
    </div>
  );
}
