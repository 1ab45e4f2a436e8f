import assert from "node:assert/strict";
import { test } from "node:test";
import { around, decades, rounds, scaleOf } from "../src/plot/scale.ts";

test("ticks of a log axis are 1, 2 and 5 of each power of ten, and fewer where there is less room", () => {
  assert.deepEqual(decades([100, 5_000], 9), [100, 200, 500, 1_000, 2_000, 5_000]);
  assert.deepEqual(decades([100, 5_000], 5), [100, 300, 1_000, 3_000]);
  assert.deepEqual(decades([100, 5_000], 2), [100, 1_000]);
  assert.deepEqual(decades([10, 100_000], 2), [10, 100, 1_000, 10_000, 100_000]);
  assert.deepEqual(decades([0.1, 0.5], 9), [0.1, 0.2, 0.5]);
});

test("a log axis begins and ends at 1, 2 or 5 of a power of ten around its values", () => {
  assert.deepEqual(around([780]), [500, 1_000]);
  assert.deepEqual(around([0, 120, 4_900, 5_000]), [100, 10_000]);
  assert.deepEqual(around([0.3]), [0.2, 0.5]);
  assert.equal(around([0]), undefined);
});

test("a latency is as far from its half as from its double", () => {
  const { scale, ticks } = scaleOf({ kind: "log", domain: [100, 10_000], format: (ms) => `${ms} ms` }, [0, 200]);
  assert.deepEqual([100, 1_000, 10_000].map((ms) => Math.round(scale(ms))), [0, 100, 200]);
  assert.deepEqual(ticks(2), [[100, "100 ms"], [1_000, "1000 ms"], [10_000, "10000 ms"]]);
});

test("ticks of a linear axis are multiples of 1, 2 or 5 of a power of ten", () => {
  assert.deepEqual(rounds([0, 27], 3), [0, 10, 20]);
  assert.deepEqual(rounds([0, 1], 4), [0, 0.5, 1]);
  assert.deepEqual(rounds([0, 46], 2), [0, 20, 40]); // not 0 alone, as with steps of 50
  assert.deepEqual(rounds([0, 0.6], 6), [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]);
});

test("two ticks of a time axis are not closer than the others, where a month begins", () => {
  const days = [Date.UTC(2026, 0, 25), Date.UTC(2026, 1, 1)] as const;
  const { ticks } = scaleOf({ kind: "elapsed", domain: days, format: (at) => new Date(at).toISOString().slice(5, 10) }, [0, 240]);
  assert.deepEqual(ticks(4).map(([, said]) => said), ["01-25", "01-27", "01-29", "01-31"]);
});

test("an axis whose ticks are given has one at each, in whichever direction it goes", () => {
  const { ticks } = scaleOf({ kind: "linear", domain: [2.5, -0.5], at: [0, 1, 2], format: (lane) => `lane ${lane}` }, [90, 0]);
  assert.deepEqual(ticks(1), [[0, "lane 0"], [1, "lane 1"], [2, "lane 2"]]);
});

test("a place on an axis is the value that is drawn there", () => {
  for (const kind of ["linear", "log", "time"] as const) {
    const { scale } = scaleOf({ kind, domain: [100, 10_000], format: String }, [180, 8]);
    for (const value of [100, 780, 10_000]) assert.ok(Math.abs(scale.invert(scale(value)) - value) < 1e-6);
  }
});
