/** The voice sessions of a call, and what their receipts say is missing. */
import type {
  ConversationResponse,
  MessageResponse,
  Receipt,
  Summary,
  VoiceSessionState,
} from "../../../clients/typescript/src/types.ts";
import type { Verbatim } from "../api.ts";
import { count, plural } from "../format.ts";

const RANGES = 5; // that are named

export interface Session {
  state: VoiceSessionState;
  receipt: Receipt;
}

/** Returns the ids of the sessions that a call and its messages name, in the order in which they come. */
export function sessionsOf({ voice_session_id }: ConversationResponse, messages: readonly MessageResponse[]): string[] {
  const named = [...messages.map((message) => message.voice_session_id), voice_session_id];
  return [...new Set(named.filter((id) => id !== null))];
}

export async function readSessions(api: Verbatim, ids: readonly string[], signal: AbortSignal): Promise<Session[]> {
  return Promise.all(
    ids.map(async (id) => {
      const [state, receipt] = await Promise.all([api.getVoiceSession(id, { signal }), api.getReceipt(id, { signal })]);
      return { state, receipt };
    }),
  );
}

/** Returns what a receipt lacks, in words; undefined if it lacks nothing. */
export function lackOf({ missing, more_missing, client_lost }: Receipt): string | undefined {
  const ranges = missing.slice(0, RANGES).map(([first, last]) => (first === last ? count(first) : `${count(first)}–${count(last)}`));
  const further = missing.length - ranges.length + more_missing;
  const parts = [
    ranges.length > 0 && `events ${ranges.join(", ")}${further > 0 ? ` and ${plural(further, "further range")}` : ""}`,
    client_lost > 0 && `${plural(client_lost, "event")} that the phone gave up`,
  ].filter((part) => part !== false);
  return parts.length > 0 ? parts.join("; ") : undefined;
}

/** Whether the record of a call is complete, in words. */
export function completeness({ receipts, state }: Summary): { words: string; isBad: boolean } {
  if (!receipts) return { words: "no receipt: it has no voice session", isBad: false };
  if (receipts.missing > 0) return { words: `${plural(receipts.missing, "event")} missing`, isBad: true };
  if (receipts.complete) return { words: "✓ complete", isBad: false };
  if (state === "live") return { words: "nothing missing so far", isBad: false };
  return { words: "unknown: a phone did not say what it sent last", isBad: true };
}
