/** What stands in a transcript: messages, function calls with their results, and between them what went wrong. */
import type { MessageResponse, SegmentKind, TimelineSegment } from "../../../clients/typescript/src/types.ts";

const LATE = 60_000; // milliseconds after its time from which on a recorded message is late, as in timelines

export interface Said {
  kind: "said";
  message: MessageResponse;
}

/** A function call. One without a request is a whole call in one message, or its request is in another part. */
export interface Call {
  kind: "call";
  request: MessageResponse | undefined;
  /** Results that were not the last. */
  partial: MessageResponse[];
  result: MessageResponse | undefined;
}

export interface Happened {
  kind: "happened";
  segment: TimelineSegment;
}

export type Entry = Said | Call | Happened;

// The others are marks of messages.
const BETWEEN: ReadonlySet<SegmentKind> = new Set([
  "error", "warning", "refused_injection", "frustration", "client_lost", "reconnect",
]);

/** Returns the segments that stand between messages and begin `from` … `to`, both inclusive, in milliseconds since 1970. */
export function between<S extends TimelineSegment>(segments: readonly S[], from: number, to: number): S[] {
  return segments.filter((segment) => BETWEEN.has(segment.kind) && begin(segment) >= from && begin(segment) <= to);
}

/** Returns the entries of messages, which are in spoken order, with segments among them. */
export function entriesOf(messages: readonly MessageResponse[], segments: readonly TimelineSegment[] = []): Entry[] {
  const found: Entry[] = [];
  const waiting = new Map<string, Call>();
  const happened = [...segments];
  for (const message of messages) {
    while (happened[0] && begin(happened[0]) <= Date.parse(message.timestamp))
      found.push({ kind: "happened", segment: happened.shift()! });
    if (message.role !== "function") found.push({ kind: "said", message });
    else takeFunction(message, found, waiting);
  }
  return [...found, ...happened.map((segment): Happened => ({ kind: "happened", segment }))];
}

/** Returns the messages of an entry. */
export function messagesOf(entry: Entry): MessageResponse[] {
  if (entry.kind === "said") return [entry.message];
  if (entry.kind === "happened") return [];
  return [entry.request, ...entry.partial, entry.result].filter((message) => message !== undefined);
}

/** Returns how long a call took in milliseconds, undefined while one of its sides is not known. */
export function tookOf({ request, result }: Call): number | undefined {
  return request && result && Date.parse(result.timestamp) - Date.parse(request.timestamp);
}

/** Returns the arguments of a call as they were recorded, undefined if they are not here. */
export function argumentsOf({ request, result }: Call): string | undefined {
  if (request) return request.content;
  const given = result?.metadata["arguments"];
  return given === undefined || typeof given === "string" ? given : JSON.stringify(given);
}

/** Returns a text of the metadata of the messages, undefined if none has it. */
export function textOf(messages: readonly MessageResponse[], name: string): string | undefined {
  const found = messages.map(({ metadata }) => metadata[name]).find((value) => typeof value === "string" && value !== "");
  return found as string | undefined;
}

/** Returns by how many milliseconds a message was late, undefined if it was not. */
export function lateOf({ timestamp, created_at }: MessageResponse): number | undefined {
  const late = Date.parse(created_at) - Date.parse(timestamp);
  return late > LATE ? late : undefined;
}

/** Returns the parts of a message that were repaired, as words; undefined if none was. */
export function repairedOf({ metadata: { repaired } }: MessageResponse): string | undefined {
  if (!Array.isArray(repaired) || repaired.length === 0) return undefined;
  return repaired.map((pointer) => String(pointer).replace(/^\/(metadata\/)?/, "")).join(", ");
}

/** Returns why words were taken out of a message; undefined if none were. */
export function redactedOf({ metadata: { redacted } }: MessageResponse): string | undefined {
  if (typeof redacted !== "object" || redacted === null || Array.isArray(redacted)) return undefined;
  return typeof redacted["reason"] === "string" ? redacted["reason"] : undefined;
}

/** Pairs requests and results as the formats of transcripts do: by their call id or, without one, by the name. */
function takeFunction(message: MessageResponse, found: Entry[], waiting: Map<string, Call>): void {
  const id = textOf([message], "call_id");
  const { state } = message.metadata;
  if (state === "requested") {
    const call: Call = { kind: "call", request: message, partial: [], result: undefined };
    waiting.set(id ?? message.id, call);
    found.push(call);
    return;
  }
  const name = textOf([message], "name");
  const key = id ?? [...waiting].find(([, { request }]) => name && request?.metadata["name"] === name)?.[0] ?? "";
  const call = waiting.get(key);
  if (call && state === "in_progress") call.partial.push(message);
  else if (call) {
    call.result = message;
    waiting.delete(key);
  } else found.push({ kind: "call", request: undefined, partial: [], result: message });
}

function begin({ started_at }: TimelineSegment): number {
  return Date.parse(started_at);
}
