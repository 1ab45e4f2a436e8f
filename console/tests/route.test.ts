import assert from "node:assert/strict";
import { test } from "node:test";
import { href, parse } from "../src/route.ts";

test("a place is read as it was written", () => {
  for (const path of [["calls"], ["calls", "a/b?c#d %"], ["search"]]) {
    const { path: read, query } = parse(href(path, { q: "a b&c=d#e", none: undefined, empty: "" }));
    assert.deepEqual(read, path);
    assert.deepEqual([...query], [["q", "a b&c=d#e"]]);
  }
});

test("no place is the list of calls", () => {
  for (const hash of ["", "#", "#/", "#/?x=1"]) assert.deepEqual(parse(hash).path, ["calls"]);
});

test("a place that was broken on its way is read all the same", () => {
  assert.deepEqual(parse("#/calls/%zz").path, ["calls", "%zz"]);
});
