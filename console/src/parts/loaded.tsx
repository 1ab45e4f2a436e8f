import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Loading } from "../load.ts";
import { Problem } from "./problem.tsx";

const PATIENCE = 300; // milliseconds before a skeleton, so that a quick answer does not flicker

interface Props<T> {
  of: Loading<T>;
  children: (data: T) => ComponentChildren;
  /** How many grey lines stand for what is being read. */
  lines?: number;
}

/** What `of` has read; until then grey lines, or why it could not be read. Data that grow old stay, and are dimmed. */
export function Loaded<T>({ of: loading, children, lines = 8 }: Props<T>) {
  const { data, error, loading: busy } = loading.state.value;
  if (data === undefined) return error ? <Problem error={error} again={loading.reload} /> : <Skeleton lines={lines} />;
  return (
    <>
      {error !== undefined && <Problem error={error} again={loading.reload} />}
      <div class={error === undefined ? "" : "stale"} aria-busy={busy}>
        {children(data)}
      </div>
    </>
  );
}

export function Skeleton({ lines }: { lines: number }) {
  const [shown, setShown] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setShown(true), PATIENCE);
    return () => clearTimeout(timer);
  }, []);
  return (
    <div class="skeleton" aria-busy="true">
      <span class="unseen">Loading</span>
      {shown && Array.from({ length: lines }, (_, line) => <i key={line} />)}
    </div>
  );
}
