import assert from "node:assert/strict";
import { test } from "node:test";
import { age, clock, count, latency, moment, plural, utc } from "../src/format.ts";

test("a latency has three digits, and changes its unit at a second", () => {
  assert.deepEqual(
    [0, 780.4, 999.4, 999.5, 1_410, 9_994, 9_995, 12_340, 99_994, 123_456, null].map(latency),
    ["0 ms", "780 ms", "999 ms", "1.00 s", "1.41 s", "9.99 s", "10.0 s", "12.3 s", "100.0 s", "123 s", "–"],
  );
});

test("the length of a call has hours only if it has any", () => {
  assert.deepEqual([0, 59.9, 61, 3_599, 3_600, 90_061, undefined].map(clock), [
    "00:00", "00:59", "01:01", "59:59", "1:00:00", "25:01:01", "–",
  ]);
});

test("an age has one unit", () => {
  assert.deepEqual([-5, 4_000, 40_000, 600_000, 7_200_000, 3 * 86_400_000].map(age), [
    "0 s", "4 s", "40 s", "10 min", "2 h", "3 d",
  ]);
});

test("a number has its thousands parted, and the word for one or many", () => {
  assert.equal(count(12_345), "12,345");
  assert.deepEqual([0, 1, 2].map((value) => plural(value, "call")), ["0 calls", "1 call", "2 calls"]);
});

test("a time of today has seconds, of another day its day, of another year that, too", () => {
  const now = new Date(2026, 10, 29, 12);
  assert.equal(moment(new Date(2026, 10, 29, 9, 5, 7), now), "09:05:07");
  assert.equal(moment(new Date(2026, 10, 28, 9, 5, 7), now), "28 Nov 09:05");
  assert.equal(moment(new Date(2025, 10, 28, 9, 5, 7), now), "28 Nov 2025 09:05");
});

test("UTC is said to the millisecond", () => {
  assert.equal(utc("2026-11-29T14:03:27.12+07:00"), "2026-11-29 07:03:27.120 UTC");
});
