import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { connection, isPassing } from "../api.ts";
import { now } from "../clock.ts";
import { age } from "../format.ts";
import type { Loading } from "../load.ts";
import { Problem } from "./problem.tsx";
import { Time } from "./time.tsx";

const PATIENCE = 300; // milliseconds before a skeleton, so that a quick answer does not flicker

interface Props<T> {
  of: Loading<T>;
  children: (data: T) => ComponentChildren;
  /** How many grey lines stand for what is being read. */
  lines?: number;
}

/**
 * What `of` has read; until then grey lines, or why it could not be read.
 *
 * While the service does not answer, the last data stay, dimmed and with the time at which they were read.
 */
export function Loaded<T>({ of: loading, children, lines = 8 }: Props<T>) {
  const { data, at, error, loading: busy } = loading.state.value;
  if (data === undefined) return error ? <Problem error={error} again={loading.reload} /> : <Skeleton lines={lines} />;
  const old = connection.value !== "online" || isPassing(error);
  return (
    <>
      {error !== undefined && !old && <Problem error={error} again={loading.reload} />}
      {old && at && (
        <p class="hint">
          As of <Time at={new Date(at).toISOString()} />, {age(now.value - at)} ago
        </p>
      )}
      <div class={old ? "stale" : ""} aria-busy={busy}>
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
