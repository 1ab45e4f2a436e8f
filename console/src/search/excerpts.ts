/** What was found, by call: excerpts of messages that stand side by side, each message once. */
import type { Role, SearchHit } from "../../../clients/typescript/src/types.ts";

/** A message that was found, or one beside it. */
export interface Line {
  readonly sequence: number;
  readonly role: Role;
  readonly content: string;
  /** Whether `content` lacks the rest of the message. */
  readonly cut: boolean;
  /** Undefined for a message that stands beside one that was found. */
  readonly hit?: SearchHit;
}

export interface Found {
  /** The id of the call. */
  readonly call: string;
  readonly hits: readonly SearchHit[];
  readonly excerpts: readonly (readonly Line[])[];
}

/** Returns the calls in the order of their newest hits, and the excerpts of each in recorded order. */
export function byCall(hits: readonly SearchHit[]): Found[] {
  const calls = Map.groupBy(hits, ({ conversation_id }) => conversation_id);
  return [...calls].map(([call, found]) => ({ call, hits: found, excerpts: excerptsOf(found) }));
}

function excerptsOf(hits: readonly SearchHit[]): Line[][] {
  const lines = new Map<number, Line>();
  for (const { before, after } of hits) for (const beside of [before, after]) if (beside) lines.set(beside.sequence, beside);
  // After those beside them: what was found twice over is shown as found.
  for (const hit of hits) lines.set(hit.message.sequence, { ...hit.message, cut: false, hit });
  const excerpts: Line[][] = [];
  for (const line of [...lines.values()].sort((one, other) => one.sequence - other.sequence)) {
    const last = excerpts.at(-1);
    if (last?.at(-1)?.sequence === line.sequence - 1) last.push(line);
    else excerpts.push([line]);
  }
  return excerpts;
}
