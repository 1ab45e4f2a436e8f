/**
 * The latencies of an answer, from the metadata of its message, in every shape in which releases and frameworks have
 * written them. `backend/dao_service/latency.py` reads the same in SQL, and says where each comes from.
 */
import type { JsonValue, MessageResponse } from "../../../clients/typescript/src/types.ts";

const DAY = 86_400; // seconds; a larger value is no latency

/** The stages of an answer, in the order in which they happen. */
export const STAGES = ["stt", "llm", "tts"] as const;

export type Stage = (typeof STAGES)[number];

/** An answer of which a latency is known, in milliseconds; null where it is not. */
export interface Answer extends Record<Stage, number | null> {
  sequence: number;
  /** When it was said, in milliseconds since 1970. */
  at: number;
  total: number | null;
}

/** Returns the latencies of a message, undefined if it has none. */
export function answerOf({ role, sequence, timestamp, metadata }: MessageResponse): Answer | undefined {
  if (role !== "assistant") return undefined;
  const [latency, metrics] = [fields(metadata["latency"]), fields(metadata["metrics"])];
  const first = Object.entries(fields(latency["ttfb_ms"]));
  const service = (name: string) => first.find(([key, value]) => key.includes(name) && ms(value) !== null)?.[1];
  const found = {
    total: ms(latency["total_ms"]) ?? ms(latency["user_to_bot_ms"]) ?? seconds(metrics["e2e_latency"]),
    stt: ms(latency["stt_ms"]) ?? ms(service("STTService")),
    llm:
      ms(latency["llm_ms"]) ??
      ms(latency["ttt_ms"]) ??
      ms(latency["ttt_text_ms"]) ??
      ms(latency["ttt_token_ms"]) ??
      ms(service("LLMService")) ??
      seconds(metrics["llm_node_ttft"]),
    tts: ms(latency["tts_ms"]) ?? ms(service("TTSService")) ?? seconds(metrics["tts_node_ttfb"]),
  };
  if (Object.values(found).every((value) => value === null)) return undefined;
  return { sequence, at: Date.parse(timestamp), ...found };
}

/** How high the bar of an answer is: the larger of its total and its stages together. */
export function height({ total, stt, llm, tts }: Answer): number {
  return Math.max(total ?? 0, (stt ?? 0) + (llm ?? 0) + (tts ?? 0));
}

function fields(value: JsonValue | undefined): { [name: string]: JsonValue } {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : {};
}

function ms(value: JsonValue | undefined): number | null {
  return typeof value === "number" && value >= 0 && value <= DAY * 1000 ? value : null;
}

function seconds(value: JsonValue | undefined): number | null {
  return typeof value === "number" && value >= 0 && value <= DAY ? value * 1000 : null;
}
