import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonValue, MessageResponse, Receipt, Role, TimelineSegment } from "../../clients/typescript/src/types.ts";
import { answerOf, height } from "../src/call/answers.ts";
import { marksIn, segmentsAt, sentenceOf, spanOf, timed } from "../src/call/drawn.ts";
import { argumentsOf, between, type Call, entriesOf, lateOf, messagesOf, repairedOf, tookOf } from "../src/call/entries.ts";
import { languageOf } from "../src/call/language.ts";
import { rangesOf } from "../src/call/ranges.ts";
import { completeness, lackOf } from "../src/call/sessions.ts";

const BEGUN = Date.parse("2026-11-29T12:00:00Z");

function instant(seconds: number): string {
  return new Date(BEGUN + seconds * 1000).toISOString();
}

function message(sequence: number, role: Role, content: string, metadata: { [name: string]: JsonValue } = {}): MessageResponse {
  const at = instant(sequence);
  return {
    id: `id ${sequence}`, conversation_id: "c", sequence, role, content, input_modality: "voice", metadata, timestamp: at,
    created_at: at, voice_session_id: null, client_sequence: null,
  };
}

function segment(lane: TimelineSegment["lane"], kind: TimelineSegment["kind"], from: number, to: number | null): TimelineSegment {
  const ended_at = to === null ? null : instant(to);
  return { lane, kind, started_at: instant(from), ended_at, estimated: false, message_id: null, label: kind };
}

test("the places of words are counted in code points", () => {
  assert.deepEqual(rangesOf("💳 4111, 4111.", "4111"), [[2, 6], [8, 12]]);
  assert.deepEqual(rangesOf("💳💳💳", "💳"), [[0, 1], [1, 2], [2, 3]]);
  assert.deepEqual(rangesOf("nothing", "4111"), []);
});

test("a latency is read in every shape in which it was written", () => {
  const shapes: [{ [name: string]: JsonValue }, (number | null)[]][] = [
    [{ latency: { total_ms: 900, stt_ms: 100, llm_ms: 500, tts_ms: 200 } }, [900, 100, 500, 200]],
    [{ latency: { total_ms: 900, ttt_ms: 400 } }, [900, null, 400, null]],
    [{ latency: { ttt_token_ms: 300, ttt_text_ms: 350 } }, [null, null, 350, null]],
    [
      { latency: { user_to_bot_ms: 800, ttfb_ms: { "XSTTService#0": 1, "YLLMService#0": 2, "ZTTSService#0": 3 } } },
      [800, 1, 2, 3],
    ],
    [{ metrics: { e2e_latency: 0.7, llm_node_ttft: 0.4, tts_node_ttfb: 0.2 } }, [700, null, 400, 200]],
    [{ latency: { total_ms: -1, user_to_bot_ms: 800, stt_ms: "2", tts_ms: 86_400_001 } }, [800, null, null, null]],
  ];
  for (const [metadata, [total, stt, llm, tts]] of shapes) {
    const expected = { sequence: 3, at: Date.parse(instant(3)), total, stt, llm, tts };
    assert.deepEqual(answerOf(message(3, "assistant", "", metadata)), expected);
  }
});

test("what is no answer, or has no latency, has none", () => {
  const latency = { latency: { total_ms: 900 } };
  assert.equal(answerOf(message(1, "user", "", latency)), undefined);
  for (const metadata of [{}, { latency: null }, { latency: [1] }, { latency: { total_ms: "900" } }] as const)
    assert.equal(answerOf(message(1, "assistant", "", metadata as { [name: string]: JsonValue })), undefined);
});

test("a bar is as high as the total, or as the stages together if they are more", () => {
  const answer = { sequence: 1, at: 0, total: 500, stt: 100, llm: 300, tts: null };
  assert.equal(height(answer), 500);
  assert.equal(height({ ...answer, tts: 200 }), 600);
  assert.equal(height({ ...answer, total: null }), 400);
});

test("a request and its result are one call, by the id or else by the name", () => {
  const entries = entriesOf([
    message(1, "function", "{}", { state: "requested", call_id: "1", name: "a" }),
    message(2, "function", "[]", { state: "requested", name: "b" }),
    message(3, "user", "Go on."),
    message(4, "function", "half", { state: "in_progress", call_id: "1" }),
    message(5, "function", "of b", { name: "b" }),
    message(6, "function", "of a", { state: "completed", call_id: "1" }),
    message(7, "function", "whole", { name: "c", arguments: { x: 1 } }),
  ]);
  assert.deepEqual(entries.map((entry) => messagesOf(entry).map(({ sequence }) => sequence)), [[1, 4, 6], [2, 5], [3], [7]]);
  assert.equal(tookOf(entries[0] as Call), 5_000);
  assert.equal(argumentsOf(entries[1] as Call), "[]");
  assert.equal(argumentsOf(entries[3] as Call), '{"x":1}');
  assert.equal(tookOf(entries[3] as Call), undefined);
});

test("what went wrong stands between the messages, within the bounds", () => {
  const segments = [segment("incident", "error", 1.5, 1.5), segment("incident", "late", 1.6, 1.6), segment("connection", "reconnect", 5, 6)];
  const kinds = (from: number, to: number) =>
    entriesOf([message(1, "user", ""), message(2, "user", "")], between(segments, from, to)).map((entry) =>
      entry.kind === "happened" ? entry.segment.kind : entry.kind,
    );
  assert.deepEqual(kinds(-Infinity, Infinity), ["said", "error", "said", "reconnect"]);
  assert.deepEqual(kinds(-Infinity, BEGUN + 2_000), ["said", "error", "said"]);
});

test("a message is late from a minute on, and names what was repaired in it", () => {
  const said = message(1, "user", "", { repaired: ["/content", "/metadata/call_id"] });
  assert.equal(lateOf({ ...said, created_at: instant(61) }), undefined);
  assert.equal(lateOf({ ...said, created_at: instant(62) }), 61_000);
  assert.equal(repairedOf(said), "content, call_id");
  assert.equal(repairedOf(message(1, "user", "")), undefined);
});

test("segments that are nearer to each other than a pixel are one mark", () => {
  const segments = [
    ...Array.from({ length: 1000 }, (_, number) => segment("user", "speech", number, number + 0.5)),
    segment("assistant", "speech", 0.5, 1),
    segment("user", "speech", 2_000, null),
  ].map((each) => timed(each, BEGUN + 3_000_000));
  const marks = marksIn(segments, [BEGUN, BEGUN + 3_000_000], 1000);
  assert.deepEqual(marks.map(({ count }) => count), [1000, 1, 1]);
  assert.equal(marksIn(segments, [BEGUN, BEGUN + 3_000_000], 100).length, 1002);
  assert.equal(marksIn(segments, [BEGUN + 1_999_000, BEGUN + 3_000_000], 100).length, 1);
  assert.deepEqual(spanOf(segments), [BEGUN, BEGUN + 3_000_000]);
  assert.equal(spanOf([]), undefined);
});

test("at a time are the segments of all lanes, and moments nearby", () => {
  const segments = [segment("incident", "error", 5, 5), segment("user", "speech", 4, 6), segment("connection", "session", 0, 9)].map(
    (each) => timed(each, BEGUN),
  );
  const found = (seconds: number) => segmentsAt(segments, BEGUN + seconds * 1000, 100).map(({ kind }) => kind);
  assert.deepEqual(found(5.05), ["speech", "error"]);
  assert.deepEqual(found(5.5), ["speech"]);
  assert.deepEqual(found(8), []);
});

test("the sentence counts what happened", () => {
  const segments = [
    segment("user", "speech", 0, 3), segment("assistant", "silence", 3, 7.2), segment("assistant", "speech", 7.2, 70),
    segment("assistant", "interruption", 70, 70), segment("function", "failed_call", 7, 8), segment("incident", "error", 9, 9),
  ].map((each) => timed(each, BEGUN));
  assert.equal(
    sentenceOf(segments),
    "The user spoke 00:03, the assistant 01:02; 1 interruption; 1 silence over 2 s, the longest 4.2 s; 1 function call; 1 incident.",
  );
});

test("a message has the language that it names, else that of its script", () => {
  const languages: [string, JsonValue, string][] = [
    ["Hello", ["en-US"], "en-US"],
    ["Hello", ["en", "vi"], ""],
    ["Hello", "en", ""],
    ["Hello", ["\"><script>"], ""],
    ["สวัสดี", null, "th"],
    ["مرحبا بك (Ahmed)", null, "ar"],
    ["寿司が好きです", null, "ja"],
    ["我喜欢寿司", null, "zh"],
    ["안녕하세요", null, "ko"],
    ["Hello 寿司", null, ""],
    ["", null, ""],
  ];
  for (const [content, named, expected] of languages)
    assert.equal(languageOf(message(1, "user", content, named === null ? {} : { languages: named })), expected, content);
});

test("a receipt says what it lacks", () => {
  const receipt: Receipt = {
    complete: true, received: 3, expected: 3, missing: [], duplicates: 0, last_sequence: 3, more_missing: 0, client_lost: 0,
  };
  const missing: [number, number][] = [[3, 4], [7, 7], [9, 9], [11, 11], [13, 13], [15, 15]];
  assert.equal(lackOf(receipt), undefined);
  assert.equal(lackOf({ ...receipt, missing: missing.slice(0, 2) }), "events 3–4, 7");
  assert.equal(lackOf({ ...receipt, missing, more_missing: 1 }), "events 3–4, 7, 9, 11, 13 and 2 further ranges");
  assert.equal(lackOf({ ...receipt, client_lost: 1 }), "1 event that the phone gave up");
});

test("a record is complete, lacks events, or is unknown", () => {
  const summary = {
    state: "ended", turns: 0, interruptions: 0, functions: 0, incidents: 0, first_words: null,
    latency_ms: { p50: null, p95: null, max: null, count: 0 },
  } as const;
  const words = (receipts: { complete: boolean; missing: number } | null, state: "live" | "ended" | "abandoned" = "ended") =>
    completeness({ ...summary, receipts, state });
  assert.deepEqual(words({ complete: true, missing: 0 }), { words: "✓ complete", isBad: false });
  assert.deepEqual(words({ complete: false, missing: 2 }), { words: "2 events missing", isBad: true });
  assert.equal(words({ complete: false, missing: 0 }, "live").isBad, false);
  assert.equal(words({ complete: false, missing: 0 }, "abandoned").isBad, true);
  assert.equal(words(null).isBad, false);
});
