import assert from "node:assert/strict";
import { test } from "node:test";
import type { SearchHit, SearchNeighbour } from "../../clients/typescript/src/types.ts";
import { sentenceOf } from "../src/parts/faults.ts";
import { byCall } from "../src/search/excerpts.ts";
import { clip, pieces, type Range } from "../src/marks.ts";

const marked = (text: string, ranges: readonly Range[]) => pieces(text, ranges).filter((piece) => piece.marked).map((piece) => piece.text);

test("marks count code points, so that an emoji before them moves nothing", () => {
  assert.deepEqual(marked("🎉🎉 nha sĩ 👩‍👧 nha", [[3, 6], [14, 17]]), ["nha", "nha"]);
  assert.deepEqual(marked("Remind me to call the dentist.", [[22, 29]]), ["dentist"]);
});

test("the pieces of a text are the text", () => {
  const text = "e\u0301te\u0301 🎉 été";
  assert.equal(pieces(text, [[0, 5], [8, 11]]).map((piece) => piece.text).join(""), text);
  assert.deepEqual(pieces("all", [[0, 3]]), [{ text: "all", marked: true }]);
  assert.deepEqual(pieces("none", []), [{ text: "none", marked: false }]);
  assert.deepEqual(pieces("", []), []);
});

test("of a long text the part around the first mark is shown, from the beginning of a word on", () => {
  const text = `${"🎉 word ".repeat(200)}dentist${" word".repeat(200)} dentist`;
  const begin = [...text].indexOf("d", 1400);
  const found = clip(text, [[begin, begin + 7], [begin + 1008, begin + 1015]]);
  assert.deepEqual(marked(found.text, found.ranges), ["dentist"]);
  assert.ok([...found.text].length <= 400);
  assert.match(found.text, /^(🎉|word) .* word$/u);
  assert.deepEqual([found.before, found.after, found.hidden], [true, true, 1]);
});

test("a short text is shown whole, and a long one without marks from its beginning", () => {
  assert.deepEqual(clip("short", [[0, 5]]), { text: "short", ranges: [[0, 5]], before: false, after: false, hidden: 0 });
  const { text, before, after } = clip("x".repeat(65_536), []);
  assert.deepEqual([text.length, before, after], [400, false, true]);
});

test("a mark that is longer than what is shown is cut with it", () => {
  const { text, ranges } = clip("x".repeat(1000), [[0, 1000]]);
  assert.deepEqual(marked(text, ranges), ["x".repeat(400)]);
});

test("what was found is grouped by call, the call with the newest first, and read in recorded order", () => {
  const found = byCall([hit("b", 9), hit("a", 7), hit("b", 2)]);
  assert.deepEqual(found.map(({ call, hits }) => [call, hits.length]), [["b", 2], ["a", 1]]);
  assert.deepEqual(sequences(found), [[[1, 2, 3], [8, 9, 10]], [[6, 7, 8]]]);
});

test("messages that stand beside each other are one excerpt, each in it once", () => {
  const found = byCall([hit("a", 5), hit("a", 4), hit("a", 2)]);
  assert.deepEqual(sequences(found), [[[1, 2, 3, 4, 5, 6]]]);
  assert.deepEqual(found[0]?.excerpts[0]?.filter((line) => line.hit).map((line) => line.sequence), [2, 4, 5]);
});

test("a fault names what the page calls the parameter", () => {
  assert.equal(sentenceOf({ pointer: "/query/q", detail: "may have at most 16 words" }), "The search may have at most 16 words.");
  assert.equal(sentenceOf({ pointer: "/query/else", detail: "must not be." }), "else must not be.");
});

function sequences(found: ReturnType<typeof byCall>): number[][][] {
  return found.map(({ excerpts }) => excerpts.map((lines) => lines.map((line) => line.sequence)));
}

function hit(conversation_id: string, sequence: number): SearchHit {
  const message = { conversation_id, sequence, role: "user", content: "dentist", metadata: {} };
  return { conversation_id, message: message as SearchHit["message"], ranges: [[0, 7]], before: beside(sequence - 1), after: beside(sequence + 1) };
}

function beside(sequence: number): SearchNeighbour {
  return { sequence, role: "assistant", content: "Yes?", cut: false };
}
