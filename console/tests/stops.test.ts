import assert from "node:assert/strict";
import { test } from "node:test";
import { stepped } from "../src/plot/stops.ts";

const places = Array.from({ length: 30 }, (_, index) => index * 10);

test("the arrow keys visit one point after the other, and stay at the ends", () => {
  assert.equal(stepped(places, 40, "ArrowRight"), 50);
  assert.equal(stepped(places, 43, "ArrowLeft"), 30);
  assert.equal(stepped(places, 290, "ArrowUp"), 290);
  assert.equal(stepped(places, 0, "ArrowDown"), 0);
});

test("other keys go ten points far, or to an end", () => {
  assert.deepEqual(["PageUp", "PageDown", "Home", "End"].map((key) => stepped(places, 150, key)), [250, 50, 0, 290]);
});

test("the first key begins at the first point, and End at the last", () => {
  assert.deepEqual(["ArrowRight", "ArrowLeft", "End"].map((key) => stepped(places, undefined, key)), [0, 0, 290]);
});

test("a key that moves nowhere is left to the page", () => {
  assert.equal(stepped(places, 150, "j"), undefined);
});
