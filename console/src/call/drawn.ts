/** What is drawn of a timeline: as many marks as a reader can tell apart, however long the call is. */
import type { Lane, SegmentKind, TimelineSegment } from "../../../clients/typescript/src/types.ts";
import { clock, plural } from "../format.ts";

/** The lanes from top to bottom, with their names. */
export const LANES: readonly (readonly [Lane, string])[] = [
  ["user", "user"],
  ["assistant", "assistant"],
  ["function", "functions"],
  ["connection", "connections"],
  ["incident", "incidents"],
];

/** A segment in milliseconds since 1970; while it goes on, its end is the time of the reading. */
export interface Timed extends TimelineSegment {
  start: number;
  end: number;
}

/** A segment as it is drawn, for `count` of them. */
export interface Mark {
  segment: Timed;
  start: number;
  end: number;
  count: number;
}

export type Span = readonly [from: number, to: number];

/** Returns the segment with its times as numbers. */
export function timed(segment: TimelineSegment, now: number): Timed {
  const start = Date.parse(segment.started_at);
  return { ...segment, start, end: segment.ended_at === null ? Math.max(now, start) : Date.parse(segment.ended_at) };
}

/** Returns the time from the first beginning to the last end, at least a second; undefined without a segment. */
export function spanOf(segments: readonly Timed[]): Span | undefined {
  let [from, to] = [Infinity, -Infinity];
  for (const { start, end } of segments) {
    from = Math.min(from, start);
    to = Math.max(to, end);
  }
  return segments.length > 0 ? [from, Math.max(to, from + 1000)] : undefined;
}

/**
 * Returns the marks in a span. Segments of one kind in one lane that are less than `gap` milliseconds apart are one mark,
 * so that a lane has no more of them than pixels.
 */
export function marksIn(segments: readonly Timed[], [from, to]: Span, gap: number): Mark[] {
  const found: Mark[] = [];
  const last = new Map<string, Mark>();
  for (const segment of segments) {
    const { start, end } = segment;
    if (end < from || start > to) continue;
    const key = `${segment.lane} ${segment.kind} ${segment.estimated}`;
    const before = last.get(key);
    if (before && start - before.end < gap) {
      before.end = Math.max(before.end, end);
      before.count += 1;
    } else {
      const mark = { segment, start, end, count: 1 };
      last.set(key, mark);
      found.push(mark);
    }
  }
  return found;
}

/** Returns the segments at a time, from the upper lane to the lower; a moment is found from `reach` milliseconds on. */
export function segmentsAt(segments: readonly Timed[], at: number, reach: number): Timed[] {
  const lane = (segment: Timed) => LANES.findIndex(([name]) => name === segment.lane);
  return segments
    .filter(({ kind, start, end }) => kind !== "session" && start - reach <= at && at <= end + reach)
    .sort((one, other) => lane(one) - lane(other));
}

/** Returns what the timeline shows, in a sentence. */
export function sentenceOf(segments: readonly Timed[]): string {
  const lane = (name: Lane) => segments.filter((segment) => segment.lane === name);
  const number = (...kinds: SegmentKind[]) => segments.filter(({ kind }) => kinds.includes(kind)).length;
  const longest = Math.max(...segments.filter(({ kind }) => kind === "silence").map(({ start, end }) => end - start));
  const counted = [
    plural(number("interruption"), "interruption"),
    plural(number("silence"), "silence") + ` over 2 s, the longest ${lasting(longest)}`,
    plural(number("call", "failed_call", "cancelled_call"), "function call"),
    plural(number("reconnect"), "reconnect"),
    plural(number("error", "warning", "refused_injection", "frustration"), "incident"),
    plural(number("late"), "late message"),
    plural(number("repaired"), "repaired message"),
    plural(number("client_lost"), "loss at the phone", "losses at the phone"),
  ].filter((words) => !words.startsWith("0 "));
  const both = `The user spoke ${clock(spoken(lane("user")))}, the assistant ${clock(spoken(lane("assistant")))}`;
  return `${[both, ...counted].join("; ")}.`;
}

/** `12.3 s`. */
export function lasting(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

const SPOKEN: ReadonlySet<SegmentKind> = new Set(["speech", "backchannel", "wordless"]);

/** Returns seconds. */
function spoken(segments: readonly Timed[]): number {
  return segments.reduce((sum, { kind, start, end }) => (SPOKEN.has(kind) ? sum + end - start : sum), 0) / 1000;
}
