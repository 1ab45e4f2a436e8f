/** A session with several phones, tabs and ends, over a service in memory. */
import assert from "node:assert/strict";
import test from "node:test";
import { MemoryStore, Phone, ProblemError, type Store } from "verbatim-record";
import { said, storeWith, until } from "./network.ts";
import { Gate, Service, settled } from "./service.ts";

/** Opens a phone whose session has its receipt, and whose storage is empty again. */
async function over(t: test.TestContext, service: Service): Promise<{ phone: Phone; store: Store }> {
  const memory = new MemoryStore();
  const cleared = new Gate();
  const removeHead = (session: string) => memory.removeHead(session).then(() => void cleared.pass());
  const store = storeWith({ removeHead }, memory);
  const phone = service.open(t, { store });
  phone.hear(said("one"));
  await phone.end("hangup");
  await cleared.reached;
  await settled();
  return { phone, store };
}

test("what is lost while the end is under way is in the receipt", async (t) => {
  const service = new Service();
  const phone = service.open(t);
  phone.hear(said("one"));
  service.before = (path) => {
    if (!path.endsWith("/end")) return;
    service.before = () => {};
    phone.hear("no JSON");
  };
  const { complete, client_lost } = await phone.end("hangup");
  assert.deepEqual([complete, client_lost], [false, 1]);
});

test("the service is told of what is lost after the end", async (t) => {
  const service = new Service();
  const { phone } = await over(t, service);
  phone.hear("no JSON");
  await service.until(() => service.lost === 1);
});

test("the count of what was given up goes on after the receipt", async (t) => {
  const service = new Service();
  const phone = service.open(t);
  phone.hear(said("refuse me"));
  await phone.end("hangup");
  assert.equal(phone.takeRefused().length, 1);
  phone.hear(said("refuse me, too"));
  await service.until(() => service.lost === 2);
});

test("a session that the service does not end for one reason can be ended for another", async (t) => {
  const service = new Service();
  const phone = service.open(t);
  phone.hear(said("one"));
  await assert.rejects(phone.end("x".repeat(256)), ProblemError);
  assert.equal((await phone.end("error")).complete, true);
});

test("two tabs in one session lose no word, and the second writes nothing", async (t) => {
  const service = new Service();
  service.isOnline = false;
  const memory = new MemoryStore();
  const claimed = new Set<string>();
  const tab = () => {
    const claim = async (session: string) => !claimed.has(session) && claimed.add(session).size > 0;
    return service.open(t, { store: { ...storeWith({}, memory), claim }, session: "vs_tabs" });
  };
  const [one, two] = [tab(), tab()];
  one.hear(said("from one"));
  two.hear(said("from two"));
  await until(one, ({ unsaved }) => unsaved === 0);
  await settled();
  assert.deepEqual([one.state.unsaved, two.state.unsaved], [0, 1]);
  service.isOnline = true;
  await Promise.all([one, two].map((phone) => until(phone, ({ queued, inFlight }) => queued + inFlight === 0)));
  assert.deepEqual(service.said.sort(), ["from one", "from two"]);
  assert.deepEqual([one.state.lost, two.state.lost], [0, 0]);
});

test("a phone that is opened again while it closes, as React does, loses no word", async (t) => {
  const service = new Service();
  service.isOnline = false;
  const memory = new MemoryStore();
  const gate = new Gate();
  const store = storeWith({ append: (...values) => gate.pass().then(() => memory.append(...values)) }, memory);
  const open = () => service.open(t, { store, session: "vs_again" });
  const one = open();
  one.hear(said("one"));
  await gate.reached;
  void one.close();
  const two = open();
  two.hear(said("two"));
  void two.close();
  const three = open();
  three.hear(said("three"));
  await settled();
  gate.open();
  service.isOnline = true;
  await three.end("hangup");
  assert.deepEqual([service.said, service.numbers], [["one", "two", "three"], [1, 2, 3]]);
  assert.deepEqual([one, two, three].map(({ state }) => state.lost), [0, 0, 0]);
});

test("`resumeAll` gives the phone that still sends what was heard after the receipt", async (t) => {
  const service = new Service();
  const { phone, store } = await over(t, service);
  const gate = new Gate();
  service.before = () => gate.pass();
  phone.hear(said("late"));
  await gate.reached;
  await until(phone, ({ unsaved }) => unsaved === 0);
  assert.deepEqual(await Phone.resumeAll({ ...service.settings, store }), [phone]);
  gate.open();
  await phone.end("interrupted");
  assert.deepEqual(service.said, ["one", "late"]);
});

test("a phone that was replaced after its receipt leaves what it hears to the other", async (t) => {
  const service = new Service();
  const { phone, store } = await over(t, service);
  const other = service.open(t, { store, session: phone.session });
  await other.begin();
  service.isOnline = false;
  phone.hear(said("two"));
  other.hear(said("three"));
  await until(other, ({ unsaved, queued, inFlight }) => unsaved === 0 && queued + inFlight === 2);
  service.isOnline = true;
  await other.end("hangup");
  assert.deepEqual([service.said, service.numbers], [["one", "two", "three"], [1, 2, 3]]);
});
