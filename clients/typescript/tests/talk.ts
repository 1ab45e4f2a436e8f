/** A call that a seed decides: what is said in it, and chance for everything else. */

/** Numbers from 0 (inclusive) to 1 (exclusive) that a seed decides (mulberry32). */
export function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Returns the frames of a call; those without a type will be refused. */
export function talk(seed: number): string[] {
  const next = chance(seed);
  const frames: object[] = [{ type: "Welcome", request_id: `r${seed}` }, { type: "SettingsApplied" }];
  const turns = 2 + Math.floor(8 * next());
  for (let turn = 1; turn <= turns; turn += 1) {
    frames.push({ type: "UserStartedSpeaking" }, { type: "ConversationText", role: "user", content: `Question ${turn}?` });
    if (next() < 0.15) frames.push({ role: "user", content: "An event without a type." });
    const long = next() < 0.1 ? "x".repeat(40_000) : "";
    frames.push({ type: "ConversationText", role: "assistant", content: `Answer ${turn}.${long}` });
    if (next() < 0.3) frames.push({ type: "ConversationText", role: "user", content: "Yes." });
  }
  return frames.map((frame) => JSON.stringify(frame));
}

export const isRefusable = (frame: string): boolean => !frame.includes('"type"');

/** Returns what a message of the frame says, or undefined if it becomes none. */
export function contentOf(frame: string): string | undefined {
  const { type, content } = JSON.parse(frame) as { type?: string; content?: string };
  return type === "ConversationText" ? content : undefined;
}
