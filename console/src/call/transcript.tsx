import { useSignal } from "@preact/signals";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { plural } from "../format.ts";
import { Problem } from "../parts/problem.tsx";
import type { Timed } from "./drawn.ts";
import { between, entriesOf, messagesOf } from "./entries.ts";
import { wanted } from "./place.tsx";
import { isAt, type Reader } from "./reader.ts";
import { Row } from "./row.tsx";

const ACTIONS = ["keydown", "pointerdown", "touchstart", "wheel"] as const;

interface Props {
  reader: Reader;
  segments: readonly Timed[];
  /** The beginning of the call, in milliseconds since 1970. */
  begun: number;
  /** The latency from which on an answer is among the slowest 5 %. */
  slow: number | null | undefined;
  live: boolean;
}

/** What was said, 200 messages at a time; while the call goes on, what is being said. */
export function Transcript({ reader, segments, begun, slow, live }: Props) {
  const [aloud, setAloud] = useState(false);
  const error = useSignal<unknown>(undefined);
  const { messages, earlier, later, fresh } = reader.shown.value;
  const list = useRef<HTMLDivElement>(null);
  useArrival(reader);
  useStick(list, live && !later && !reader.paused.value);
  const move = (to: () => Promise<void>, edge: "first" | "last") => () => {
    error.value = undefined;
    to().then(
      () => requestAnimationFrame(() => show(list.current, edge)),
      (caught: unknown) => (error.value = caught),
    );
  };
  const rows = useRows(reader, segmentsOf(reader, segments), begun, slow);
  return (
    <section aria-labelledby="transcript">
      <header class="bar">
        <h2 id="transcript" tabIndex={-1}>
          Transcript
        </h2>
        {live && (
          <>
            <button type="button" aria-keyshortcuts="." aria-pressed={reader.paused.value} onClick={() => toggle(reader)}>
              {reader.paused.value ? "Go on" : "Pause"}
            </button>
            <label class="switch">
              <input type="checkbox" checked={aloud} onChange={(event) => setAloud(event.currentTarget.checked)} />
              Read new lines aloud
            </label>
          </>
        )}
      </header>
      {earlier && (
        <button type="button" class="more" onClick={move(() => reader.earlier(), "last")}>
          Earlier messages
        </button>
      )}
      <div ref={list} {...(live && { role: "log", "aria-live": aloud ? "polite" : "off", "aria-label": "Transcript" })}>
        <ol class="turns">{rows}</ol>
        {messages.length === 0 && <p class="hint">{live ? "Nothing has been said yet." : "Nothing was said in this call."}</p>}
      </div>
      {later && (
        <button type="button" class="more" onClick={move(() => reader.later(), "first")}>
          Later messages
        </button>
      )}
      {fresh > 0 && (
        <button type="button" class="more fresh" onClick={move(() => reader.latest(), "last")}>
          {plural(fresh, "new line")}
        </button>
      )}
      {error.value !== undefined && <Problem error={error.value} />}
    </section>
  );
}

/** Returns the rows, and the same ones while nothing of them changes, so that they are not compared. */
function useRows(reader: Reader, happened: readonly Timed[], begun: number, slow: Props["slow"]) {
  const { messages } = reader.shown.value;
  const at = wanted() ?? "";
  return useMemo(
    () =>
      entriesOf(messages, happened).map((entry) => (
        <Row
          key={entry.kind === "happened" ? `${entry.segment.started_at} ${entry.segment.label}` : messagesOf(entry)[0]?.id}
          entry={entry}
          begun={begun}
          slow={slow}
          isHere={messagesOf(entry).some((message) => isAt(message, at))}
          onRedacted={reader.take}
        />
      )),
    [reader, messages, happened.map(({ started_at }) => started_at).join(), begun, slow, at],
  );
}

/** Returns what happened between the messages that are shown; before the first and after the last of the call, too. */
function segmentsOf(reader: Reader, segments: readonly Timed[]): Timed[] {
  const { messages, earlier, later } = reader.shown.value;
  const [first, last] = [messages[0], messages.at(-1)].map((message) => Date.parse(message?.timestamp ?? ""));
  return between(segments, earlier ? (first ?? 0) : -Infinity, later ? (last ?? 0) : Infinity);
}

/** Pauses what is being followed, or goes on with all that has come since. */
export function toggle(reader: Reader): void {
  if (reader.paused.value) reader.latest().catch(() => reader.pause());
  else reader.pause();
}

/** Shows the first or the last row of a part that was turned to. */
function show(list: HTMLElement | null, edge: "first" | "last"): void {
  const rows = list?.querySelectorAll<HTMLElement>(".turns > li");
  const row = rows?.[edge === "first" ? 0 : rows.length - 1];
  row?.focus({ preventScroll: true });
  row?.scrollIntoView({ block: edge === "first" ? "start" : "end" });
}

/** Shows the message that the address names, once it is there. */
function useArrival(reader: Reader): void {
  const at = wanted();
  const isThere = at !== undefined && reader.shown.value.messages.some((message) => isAt(message, at));
  useLayoutEffect(() => {
    const row = document.querySelector<HTMLElement>(".turns > .here");
    if (!isThere || !row) return undefined;
    row.querySelector("details")?.setAttribute("open", "");
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "center" });
    return keepInMiddle(row);
  }, [at, isThere]);
}

/** Keeps a row in the middle of the window while plots above it are still loading, until the reader acts. */
function keepInMiddle(row: HTMLElement): () => void {
  const observer = new ResizeObserver(() => row.scrollIntoView({ block: "center" }));
  observer.observe(document.body);
  const stop = () => {
    observer.disconnect();
    for (const action of ACTIONS) removeEventListener(action, stop);
  };
  for (const action of ACTIONS) addEventListener(action, stop, { passive: true });
  return stop;
}

/** Keeps the end in the window while lines are added, if it was there before. */
function useStick(list: { current: HTMLElement | null }, follows: boolean): void {
  const bottom = list.current?.getBoundingClientRect().bottom;
  const wasThere = follows && bottom !== undefined && bottom > 0 && bottom <= window.innerHeight;
  useLayoutEffect(() => {
    if (wasThere && (list.current?.getBoundingClientRect().bottom ?? 0) > window.innerHeight)
      list.current?.scrollIntoView({ block: "end" });
  });
}
