import assert from "node:assert/strict";
import { test } from "node:test";
import type { Bucket, Percentiles } from "../../clients/typescript/src/types.ts";
import { most, spanAt, spansOf, spell, tick } from "../src/figures/buckets.ts";
import { barsOf, bound, inWords, range, share } from "../src/figures/histogram.ts";
import { isEmpty, periodOf, questionOf, rangeOf, widthsFor, yesterday } from "../src/figures/period.ts";

/** A time of the reader. */
const local = (day: number, hour: number, minute = 0) => new Date(2026, 10, day, hour, minute);
const now = local(29, 10, 20);
const query = (text: string) => new URLSearchParams(text);

test("without a period the service chooses the last day", () => {
  assert.deepEqual(periodOf(query(""), now), {});
  assert.equal(rangeOf(query("range=1y")), "24h");
});

test("days are those of the reader, the last one whole", () => {
  const day = { since: local(28, 0).toISOString(), until: local(29, 0).toISOString() };
  assert.deepEqual(periodOf(query("since=2026-11-28&until=2026-11-28&range=7d"), now), day);
  assert.deepEqual(periodOf(query("until=2026-11-28"), now), day);
  assert.deepEqual(periodOf(query("since=2026-11-28"), now), { since: day.since, until: undefined });
  assert.deepEqual(yesterday(now), { since: "2026-11-28", until: "2026-11-28" });
  assert.deepEqual(yesterday(new Date(2026, 2, 1)), { since: "2026-02-28", until: "2026-02-28" });
});

test("a range begins at a full hour, so that the question stays the same for an hour", () => {
  const { since, until } = periodOf(query("range=7d"), now);
  const begin = Date.parse(since ?? "");
  assert.equal(begin % 3_600_000, 0);
  assert.ok(begin <= local(22, 10, 20).getTime() && begin > local(22, 9, 20).getTime());
  assert.equal(until, undefined);
});

test("a period that ends before it begins, or has not begun, is empty", () => {
  const empty = (text: string) => isEmpty(periodOf(query(text), now), now);
  assert.deepEqual(["since=2026-11-29&until=2026-11-28", "since=2026-11-30"].map(empty), [true, true]);
  assert.deepEqual(["", "since=2026-11-29", "range=30d", "since=2026-11-30&until=2026-11-30"].map(empty), [false, false, false, false]);
});

test("only widths of at most 400 buckets are offered", () => {
  const widths = (text: string) => [...widthsFor(periodOf(query(text), now), now).keys()];
  assert.equal(widths("")[0], "PT5M");
  assert.deepEqual(widths("range=30d"), ["PT6H", "P1D", "P7D"]);
  assert.deepEqual(widths("since=2001-01-01"), []);
  const whole = { since: "2026-11-29T00:00:00Z", until: "2026-11-29T06:40:00Z" }; // 400 minutes
  assert.equal([...widthsFor(whole, now).keys()][0], "PT1M");
  assert.equal([...widthsFor({ ...whole, since: "2026-11-28T23:59:59Z" }, now).keys()][0], "PT5M");
  assert.equal([...widthsFor({ since: "2026-11-29T00:00:30Z", until: "2026-11-29T06:40:30Z" }, now).keys()][0], "PT5M");
});

test("the service is asked for what the address names", () => {
  assert.deepEqual(questionOf(query("bucket=PT1H&context_type=voice&source=posts"), now), {
    bucket: "PT1H", context_type: "voice", source: "posts",
  });
  assert.equal(questionOf(query("range=30d&bucket=PT1M"), now).bucket, undefined);
});

const none: Percentiles = { count: 0 };
const bucket = (start: string, calls: number): Bucket => ({
  start, calls, minutes: 0, abandoned: 0, incomplete: 0, intents: {}, turns: 0, interruptions: 0, incidents: {},
  latency_ms: { total: none, stt: none, llm: none, tts: none },
});
const spans = spansOf({
  since: local(28, 10, 10).toISOString(),
  until: local(28, 12, 30).toISOString(),
  buckets: [10, 11, 12].map((hour) => bucket(local(28, hour).toISOString(), hour === 10 ? 3 : 5)),
});

test("buckets are cut off at the ends of the period, and end where the next begins", () => {
  assert.deepEqual(spans.map(({ from, to }) => spell(from, to)), [
    "Sat 28 Nov 10:10–11:00", "Sat 28 Nov 11:00–12:00", "Sat 28 Nov 12:00–12:30",
  ]);
});

test("a time is found in the bucket that holds it", () => {
  assert.equal(spanAt(spans, local(28, 11).getTime()), spans[1]);
  assert.equal(spanAt(spans, local(28, 12, 30).getTime()), undefined);
});

test("the first of the largest is the largest, and nothing is the largest of none", () => {
  assert.equal(most(spans, ({ calls }) => calls), spans[1]);
  assert.equal(most(spans, ({ turns }) => turns), undefined);
});

test("a span of time is said as shortly as it can be", () => {
  const words = (from: Date, to: Date) => spell(from.getTime(), to.getTime());
  assert.equal(words(local(28, 0), local(29, 0)), "Sat 28 Nov");
  assert.equal(words(local(28, 18), local(29, 0)), "Sat 28 Nov 18:00–24:00");
  assert.equal(words(local(28, 7), local(29, 7)), "Sat 28 Nov 07:00 – Sun 29 Nov 07:00");
});

test("a tick at midnight is the day", () => {
  assert.equal(tick(local(29, 0).getTime()).slice(0, 6), "29 Nov");
  assert.equal(tick(local(29, 14, 15).getTime()), "14:15");
});

const histogram = [
  { from_ms: 0, to_ms: 10, count: 1 },
  { from_ms: 630, to_ms: 800, count: 6 },
  { from_ms: 1_250, to_ms: 1_600, count: 2 },
  { from_ms: 100_000, to_ms: null, count: 1 },
];

test("parts without a bound are as wide as others", () => {
  assert.deepEqual(barsOf(histogram).map(({ from, to, value }) => [from, to, value]), [
    [8, 10, 1], [630, 800, 6], [1_250, 1_600, 2], [100_000, 125_000, 1],
  ]);
});

test("parts are said with their bounds", () => {
  assert.deepEqual(histogram.map(range), ["less than 10 ms", "630 ms to 800 ms", "1.25 s to 1.6 s", "100 s or more"]);
  assert.deepEqual([0.5, 12.5, 1_000, 3_150].map(bound), ["0.5 ms", "12.5 ms", "1 s", "3.15 s"]);
  assert.equal(inWords(histogram), "10 answers; most often 630 ms to 800 ms, which are 60 %.");
});

test("a share is rounded, but not to none or all", () => {
  const shares = [[0, 0], [0, 9], [9, 9], [1, 3], [1, 200], [1, 2_000], [999, 1_000]] as const;
  assert.deepEqual(shares.map(([part, whole]) => share(part, whole)), [
    "0 %", "0 %", "100 %", "33 %", "0.5 %", "< 0.1 %", "> 99 %",
  ]);
});
