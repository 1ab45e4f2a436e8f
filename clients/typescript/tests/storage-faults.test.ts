/** A phone on storage that is full, breaks, or never answers: what is in memory goes on record, or is handed over. */
import assert from "node:assert/strict";
import test from "node:test";
import { MemoryStore, type Row } from "verbatim-record";
import { said, storeWith, until } from "./network.ts";
import { bounded, fail, Gate, never, Service, settled } from "./service.ts";

/** Pauses are as long as they can be. */
const patient = (bytes: Uint8Array<ArrayBuffer>) => (bytes.length > 1 ? crypto.getRandomValues(bytes) : bytes.fill(255));

/** Lets the monotonic clock jump ahead; the timers are the test's own. */
function mockTime(t: test.TestContext): (milliseconds: number) => void {
  const now = performance.now.bind(performance);
  let ahead = 0;
  t.mock.timers.enable({ apis: ["setTimeout"] });
  t.mock.method(performance, "now", () => now() + ahead);
  return (milliseconds) => {
    ahead += milliseconds;
    t.mock.timers.tick(milliseconds);
  };
}

test("what a full storage never took is handed over when the phone is closed", async (t) => {
  const service = new Service();
  service.isOnline = false;
  const lost: (string | undefined)[] = [];
  const onLost = (frame: string | undefined) => lost.push(frame);
  const phone = service.open(t, { store: storeWith({ append: fail, putHead: fail }), onLost });
  phone.hear(said("one"));
  phone.hear(said("two"));
  await until(phone, ({ online }) => !online);
  await phone.close();
  assert.deepEqual(lost, [said("one"), said("two")]);
  const { queued, unsaved, lost: count } = phone.state;
  assert.deepEqual([queued, unsaved, count], [0, 0, 2]);
});

test("what is heard before a storage can be read is handed over when the phone is closed", async (t) => {
  const lost: (string | undefined)[] = [];
  const onLost = (frame: string | undefined) => lost.push(frame);
  const phone = new Service().open(t, { store: storeWith({ heads: fail }), session: "vs_unread", onLost });
  phone.hear(said("one"));
  await phone.close();
  await settled();
  assert.deepEqual(lost, [said("one")]);
});

test("what is heard while the storage is read is in the storage when the phone has closed", async (t) => {
  const memory = new MemoryStore();
  const gate = new Gate();
  const store = storeWith({ heads: () => gate.pass().then(() => memory.heads()) }, memory);
  const phone = new Service().open(t, { store, session: "vs_reading" });
  phone.hear(said("one"));
  const closed = phone.close();
  gate.open();
  await closed;
  assert.equal(phone.state.lost, 0);
  assert.equal((await memory.read("vs_reading", 0, 9)).length, 1);
});

test("storage that has room again gets what it lacks when the phone is closed", async (t) => {
  const service = new Service();
  service.isOnline = false;
  const memory = new MemoryStore();
  let isFull = true;
  const gate = new Gate();
  const append = async (session: string, rows: readonly Row[]) => {
    void gate.pass();
    return isFull ? fail() : memory.append(session, rows);
  };
  const phone = service.open(t, { store: storeWith({ append }, memory), random: patient });
  phone.hear(said("one"));
  await gate.reached;
  isFull = false;
  await phone.close();
  assert.equal((await memory.read(phone.session, 0, 9)).length, 1);
  assert.equal(phone.state.lost, 0);
});

test("a phone whose storage fails while it closes does not wait before it tries once more", async (t) => {
  mockTime(t); // no pause ends
  const gate = new Gate();
  const store = storeWith({ append: () => gate.pass().then(fail) });
  const phone = new Service().open(t, { store, random: patient });
  phone.hear(said("one"));
  await gate.reached;
  const closed = phone.close();
  gate.open();
  await closed;
  assert.equal(phone.state.lost, 1);
});

test("a phone closes although its storage never answers, and hands over what is not saved", async (t) => {
  const pass = mockTime(t);
  const service = new Service();
  service.before = never;
  const lost: (string | undefined)[] = [];
  const phone = service.open(t, { store: storeWith({ append: never }), onLost: (frame) => lost.push(frame) });
  phone.hear(said("one"));
  await settled();
  const closed = phone.close();
  pass(5_000);
  await closed;
  assert.deepEqual(lost, [said("one")]);
});

test("what is heard goes on record although the storage never answers", async (t) => {
  const pass = mockTime(t);
  const service = new Service();
  const phone = service.open(t, { store: storeWith({ append: never }) });
  phone.hear(said("one"));
  await settled();
  assert.deepEqual(service.said, []);
  pass(5_000);
  await service.until(() => service.said.length === 1);
});

for (const { fault, storage, wait } of [
  { fault: "fails from now on", storage: fail, wait: 0 },
  { fault: "never answers any more", storage: never, wait: 5_000 },
]) {
  test(`what is in memory goes on record although the storage ${fault}`, async (t) => {
    const pass = mockTime(t);
    const service = new Service();
    const gate = new Gate();
    service.before = () => gate.pass();
    const memory = new MemoryStore();
    let isBroken = false;
    const store = storeWith({
      append: (...values) => (isBroken ? storage() : memory.append(...values)),
      read: (...values) => (isBroken ? storage() : memory.read(...values)),
      remove: (...values) => (isBroken ? storage() : memory.remove(...values)),
      putHead: (...values) => (isBroken ? storage() : memory.putHead(...values)),
    }, memory);
    const phone = service.open(t, { store });
    phone.hear(said("under way"));
    await gate.reached;
    phone.hear(said("in the storage"));
    await until(phone, ({ unsaved }) => unsaved === 0);
    isBroken = true;
    phone.hear(said("in memory"));
    gate.open();
    await service.until(() => service.said.length === 1);
    await settled();
    pass(wait);
    await service.until(() => service.said.length === 2);
    assert.deepEqual(service.said, ["under way", "in memory"]);
    isBroken = false;
    await settled();
    pass(5_000);
    t.mock.timers.reset();
    await service.until(() => service.said.length === 3);
    assert.equal(service.said[2], "in the storage");
  });
}

test("an event is unsaved until the storage has the head of its session, by which `resumeAll` finds it", async (t) => {
  const service = new Service();
  service.isOnline = false;
  const phone = service.open(t, { store: storeWith({ putHead: fail }) });
  phone.hear(said("one"));
  await settled();
  assert.equal(phone.state.unsaved, 1);
});

test("a session whose head is gone gets one again", async (t) => {
  const memory = new MemoryStore();
  await memory.append("vs_headless", [{ number: 1, text: "{}" }]);
  await memory.append("vs_headless/given-up", [{ number: 1, text: "lost" }]);
  const removed = new Gate();
  const remove = async (session: string, numbers: readonly number[]) => {
    await memory.remove(session, numbers);
    await removed.pass();
  };
  new Service().open(t, { store: storeWith({ remove }, memory), session: "vs_headless" });
  await removed.reached;
  removed.open();
  assert.deepEqual((await memory.heads()).map(({ session }) => session), ["vs_headless"]);
});

test("a full storage gets room as soon as its events are on record", async (t) => {
  const service = new Service();
  service.isOnline = false;
  const phone = service.open(t, { store: bounded(new MemoryStore(), 3_000) });
  for (let number = 10; number < 60; number += 1) {
    phone.hear(said(`number ${number}`));
    await settled(); // each is written alone, to the brim
  }
  assert.ok(phone.state.unsaved > 0);
  service.isOnline = true;
  await until(phone, ({ queued, inFlight }) => queued + inFlight === 0);
  service.isOnline = false;
  phone.hear(said("after"));
  await until(phone, ({ unsaved }) => unsaved === 0);
});

test("more than a hundred refused events are in the storage whenever the app is killed", async (t) => {
  const service = new Service();
  const offline = new Service();
  offline.isOnline = false;
  const memory = new MemoryStore();
  const first = offline.open(t, { store: memory });
  for (let number = 1; number <= 150; number += 1) first.hear(said(`refuse me ${number}`));
  await until(first, ({ unsaved }) => unsaved === 0);
  await first.close();
  // Full until all are refused; then it has room, and the app is killed after the first removal of rows.
  let isFull = true;
  const death = new Gate();
  let isDead = false;
  const store = storeWith({
    append: (...values) => (isDead ? never() : isFull ? fail() : memory.append(...values)),
    putHead: (...values) => (isDead ? never() : memory.putHead(...values)),
    async remove(...values) {
      await memory.remove(...values);
      isDead = true;
      await death.pass();
    },
  }, memory);
  const phone = service.open(t, { store, session: first.session });
  await until(phone, ({ refused }) => refused === 150);
  isFull = false;
  await death.reached;
  const rows = [...(await memory.read(first.session, 0, 999)), ...(await memory.read(`${first.session}/given-up`, 0, 999))];
  assert.equal(new Set(rows.map(({ number }) => number)).size, 150);
  const again = service.open(t, { store: storeWith({}, memory), session: first.session });
  await again.end("hangup");
  assert.deepEqual([again.state.refused, service.lost], [150, 150]);
  death.open();
});

test("what is heard just after the receipt, while the storage is still writing, is recorded", async (t) => {
  const service = new Service();
  const memory = new MemoryStore();
  const gate = new Gate();
  let isSlow = false;
  const putHead: MemoryStore["putHead"] = async (head) => {
    if (isSlow) await gate.pass();
    await memory.putHead(head);
  };
  service.before = (path) => void (isSlow ||= path.endsWith("/events"));
  const phone = service.open(t, { store: storeWith({ putHead }, memory) });
  phone.hear(said("one"));
  await phone.end("hangup");
  phone.hear(said("late"));
  gate.open();
  await service.until(() => service.said.length === 2);
  assert.deepEqual(service.said, ["one", "late"]);
  assert.equal(phone.state.lost, 0);
});

test("a damaged row costs nothing that is heard before the storage is read", async (t) => {
  const service = new Service();
  const store = new MemoryStore();
  await store.putHead({ session: "vs_damaged", last: 1, time: Date.now() });
  await store.append("vs_damaged", [{ number: 1, text: "" }]);
  const phone = service.open(t, { store, session: "vs_damaged" });
  phone.hear(said("two"));
  await phone.end("hangup");
  assert.deepEqual([service.said, service.lost], [["two"], 1]);
});
