import assert from "node:assert/strict";
import { test } from "node:test";
import { dayAfter, dayOf, isoDay } from "../src/days.ts";

process.env["TZ"] = "Europe/Berlin";

test("a day begins at midnight of the reader, also where the clocks change", () => {
  assert.equal(dayOf("2026-03-29"), "2026-03-28T23:00:00.000Z");
  assert.equal(dayAfter("2026-03-29"), "2026-03-29T22:00:00.000Z");
  assert.equal(dayAfter("2026-12-31"), "2026-12-31T23:00:00.000Z");
});

test("what is no day begins never", () => {
  for (const day of [undefined, "", "yesterday", "2026-1-1"]) assert.equal(dayOf(day), undefined);
});

test("a day is written as filters name it", () => {
  assert.equal(isoDay(new Date(2026, 0, 5, 23)), "2026-01-05");
});
