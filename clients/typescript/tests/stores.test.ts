/** Every storage does what a phone needs, and has after a kill what was durable before. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import test from "node:test";
import { MemoryStore, type Store } from "verbatim-record";
import { AsyncStorageStore } from "verbatim-record/async-storage";
import { NodeStore } from "verbatim-record/node";
import { AsyncStorageStandIn, standInForExpo } from "./stand-ins.ts";
import { CHECKS } from "./stores.ts";

standInForExpo();
const { ExpoStore } = await import("verbatim-record/expo");

const folder = mkdtempSync(join(tmpdir(), "stores-"));
test.after(() => rmSync(folder, { recursive: true }));

const STORES: Record<string, Store> = {
  MemoryStore: new MemoryStore(),
  NodeStore: new NodeStore(join(folder, "node.sqlite")),
  ExpoStore: new ExpoStore(join(folder, "expo.sqlite")),
  AsyncStorageStore: new AsyncStorageStore(new AsyncStorageStandIn()),
};

for (const [name, store] of Object.entries(STORES)) {
  for (const [sentence, check] of Object.entries(CHECKS)) {
    test(`${name}: ${sentence}`, () => check(store, `vs_${randomUUID()}`));
  }
}

const WRITER = `
  import { NodeStore } from "verbatim-record/node";
  const store = new NodeStore(process.argv[1]);
  await store.putHead({ session: "s", last: 0, time: 0 });
  for (let number = 1; ; number += 1) {
    await store.append("s", [{ number, text: "x".repeat(1_000) }]);
    console.log(number);
  }
`;

test("NodeStore: what was appended is there after `kill -9`, without a hole", async () => {
  for (let kill = 1; kill <= 5; kill += 1) {
    const file = join(folder, `killed-${kill}.sqlite`);
    const writer = spawn(process.execPath, ["--no-warnings", "--input-type=module", "--eval", WRITER, file], {
      cwd: import.meta.dirname,
      stdio: ["ignore", "pipe", "inherit"],
    });
    let durable = 0;
    for await (const line of createInterface(writer.stdout)) {
      durable = Number(line);
      if (durable === 40 * kill) writer.kill("SIGKILL");
    }
    const store = new NodeStore(file);
    const numbers = (await store.read("s", 0, 10_000)).map(({ number }) => number);
    assert.ok(durable >= 40 * kill && numbers.length >= durable);
    assert.deepEqual(numbers, Array.from(numbers, (_, place) => place + 1));
    assert.equal((await store.heads()).length, 1);
  }
});

test("AsyncStorageStore: an app that is killed in the middle of a row of megabytes has the rows before it", async () => {
  const storage = new AsyncStorageStandIn();
  const store = new AsyncStorageStore(storage);
  await store.append("s", [{ number: 1, text: "{}" }]);
  const set = storage.setItem.bind(storage);
  let writes = 0;
  storage.setItem = async (key, value) => ((writes += 1) > 2 ? new Promise<never>(() => {}) : set(key, value));
  void store.append("s", [{ number: 2, text: "x".repeat(3_000_000) }]);
  await new Promise(setImmediate);
  assert.equal(writes, 3);
  assert.deepEqual(await new AsyncStorageStore(storage).read("s", 0, 9), [{ number: 1, text: "{}" }]);
});

test("AsyncStorageStore: a row that was replaced, or that did not fit, leaves no part of it", async () => {
  const storage = new AsyncStorageStandIn();
  const store = new AsyncStorageStore(storage);
  const long = "x".repeat(1_200_000);
  await store.append("s", [{ number: 1, text: long }]);
  await store.append("s", [{ number: 1, text: "taken" }]);
  await store.remove("s", [1]);
  assert.deepEqual(await storage.getAllKeys(), []);
  const set = storage.setItem.bind(storage);
  let room = 2;
  storage.setItem = async (key, value) => ((room -= 1) < 0 ? Promise.reject(new Error("full")) : set(key, value));
  await assert.rejects(store.append("s", [{ number: 2, text: long }]));
  await store.remove("s", [2]);
  assert.deepEqual(await storage.getAllKeys(), []);
});

test("AsyncStorageStore: a head that is removed while the heads are read is passed over", async () => {
  const store = new AsyncStorageStore(new AsyncStorageStandIn());
  for (const session of ["removed", "kept"]) await store.putHead({ session, last: 0, time: 0 });
  const heads = store.heads();
  await store.removeHead("removed");
  assert.deepEqual((await heads).map(({ session }) => session), ["kept"]);
});
