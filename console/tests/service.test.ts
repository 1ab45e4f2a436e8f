import assert from "node:assert/strict";
import { test } from "node:test";
import { connected, revision, searched, size } from "../src/service/words.ts";

test("a size has three digits, and changes its unit before it has four", () => {
  assert.deepEqual([0, 999, 1_000, 9_994, 9_996, 83_886_080, 999_499_999, 999_500_000, 5e15].map(size), [
    "0 B", "999 B", "1.00 kB", "9.99 kB", "10.0 kB", "83.9 MB", "999 MB", "1.00 GB", "5.00 PB",
  ]);
});

test("a revision says whether the release and the database agree", () => {
  assert.equal(revision({ code: "0113", database: "0113", compatible_from: "0112" }), "0113, that of this release.");
  assert.match(revision({ code: "0113", database: "0114", compatible_from: "0112" }), /^0114, which releases from 0112 on can use; .* 0113\.$/);
  assert.match(revision({ code: "0113", database: null, compatible_from: null }), /no schema of ours yet/);
});

test("the search is late from five seconds on, and says what of the past it lacks", () => {
  assert.deepEqual(searched({ lag_seconds: 0.4, past_messages: 0 }), { words: "New messages are found within seconds.", isBad: false });
  assert.deepEqual(searched({ lag_seconds: 300, past_messages: 12_000 }), {
    words: "New messages are found after 5 min or later. About 12,000 older messages are not found yet.",
    isBad: true,
  });
});

test("connections are told by release", () => {
  assert.equal(connected([{ schema: "0113", connections: 16 }, { schema: "0112", connections: 1 }]), "16 connections of release 0113, 1 connection of release 0112");
  assert.equal(connected([]), "none that can be seen");
});
