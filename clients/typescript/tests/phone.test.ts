/** A phone and the service, with everything in between that there is: networks, proxies, clocks, storage, kills. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import test from "node:test";
import { MemoryStore, Phone, ProblemError, type Receipt, type Row } from "verbatim-record";
import { api, atEvents, call, contents, forged, hasty, messages, Network, open, said, storeWith, until } from "./network.ts";

function assertComplete(receipt: Receipt, received: number): void {
  const { complete, expected, missing, client_lost } = receipt;
  assert.deepEqual({ complete, expected, missing, client_lost }, { complete: true, expected: received, missing: [], client_lost: 0 });
  assert.equal(receipt.received, received);
}

test("a call is on record as it was heard, and nothing is left in the storage", async () => {
  const memory = new MemoryStore();
  let forget = () => {};
  const forgotten = new Promise<void>((resolve) => (forget = resolve));
  const store = storeWith({ removeHead: (session) => memory.removeHead(session).then(forget) }, memory);
  const phone = open({ store });
  const begun = await phone.begin();
  assert.equal(begun.id, phone.session);
  phone.hear(said("one"));
  phone.sent(said("two", "assistant"));
  assertComplete(await call(phone, "three"), 3);
  assert.deepEqual(await contents(phone), ["one", "two", "three"]);
  await forgotten;
  assert.deepEqual([await store.heads(), await store.read(phone.session, 0, 10)], [[], []]);
});

test("a phone whose clock is ten minutes fast loses no word, and the service's time corrects it", async () => {
  const phone = open({ now: () => Date.now() + 600_000 });
  phone.hear(said("before the service was reached"));
  await phone.begin();
  assertComplete(await call(phone, "after", "and after"), 3);
  const recorded = await messages(phone);
  assert.deepEqual(recorded.map(({ content }) => content), ["before the service was reached", "after", "and after"]);
  for (const { timestamp } of recorded) assert.ok(Math.abs(Date.parse(timestamp) - Date.now()) < 60_000, timestamp);
});

for (const status of [403, 404, 408, 410, 413, 425, 501, 507, 520]) {
  test(`a proxy that answers ${status} in the service's place costs nothing`, async () => {
    const network = new Network();
    network.add(atEvents(network, () => forged(status, { "content-type": "text/html" })));
    const phone = open({ network });
    assertComplete(await call(phone, "one", "two"), 2);
    assert.deepEqual(await contents(phone), ["one", "two"]);
  });
}

test("a request whose outcome is unknown is sent again with the same bytes, and recorded once", async () => {
  const network = new Network();
  network.add(
    atEvents(network, async (path, body) => {
      await fetch(api + path, { method: "POST", headers: { "content-type": "application/json" }, body });
      throw new TypeError("The connection was cut before the answer came.");
    }),
  );
  const phone = open({ network });
  const receipt = await call(phone, "one", "two");
  assertComplete(receipt, 2);
  assert.equal(receipt.duplicates, 2);
  assert.equal(network.batches[0], network.batches[1]);
});

test("what sixty events of 40 kB without a network leave is sent in requests of at most 256 KiB", async () => {
  const network = new Network();
  const phone = open({ network });
  await phone.begin();
  let isOffline = true;
  const offline = async () => {
    if (isOffline) network.add(offline);
    if (isOffline) throw new TypeError("offline");
    return undefined;
  };
  network.add(offline);
  const long = "x".repeat(40_000);
  for (let count = 1; count <= 60; count += 1) phone.hear(said(`${count} ${long}`));
  await until(phone, ({ online, unsaved }) => !online && unsaved === 0);
  isOffline = false;
  phone.wake();
  assertComplete(await phone.end("hangup"), 60);
  assert.ok(network.batches.every((body) => body.length <= 256 * 1024));
  const numbers = (await contents(phone)).map((content) => Number(content.split(" ")[0]));
  assert.deepEqual(numbers, Array.from({ length: 60 }, (_, place) => place + 1));
});

test("a proxy that takes small bodies only gets small ones", async () => {
  const network = new Network();
  const most = (path: string, body: string) => {
    network.add(most);
    return path.endsWith("/events") && body.length > 3_000 ? forged(413) : undefined;
  };
  network.add(most);
  const phone = open({ network });
  assertComplete(await call(phone, ...Array.from({ length: 40 }, (_, place) => `Number ${place} ${"x".repeat(200)}`)), 40);
});

test("one event that a proxy never lets pass does not stop the others", async () => {
  const network = new Network();
  let isBlocking = true;
  const block = (_: string, body: string) => {
    network.add(block);
    return isBlocking && body.includes("SELECT") ? forged(413) : undefined;
  };
  network.add(block);
  const phone = open({ network });
  const receipt = call(phone, "one", "SELECT two", "three");
  await until(phone, ({ queued, inFlight }) => queued + inFlight === 1);
  assert.deepEqual(await contents(phone), ["one", "three"]);
  isBlocking = false;
  phone.wake();
  assertComplete(await receipt, 3);
  assert.deepEqual(await contents(phone), ["one", "SELECT two", "three"]);
});

test("what is heard before the storage was read is recorded after what the storage had", async () => {
  const store = new MemoryStore();
  const offline = new Network(() => new Promise(() => {}));
  const killed = open({ store, network: offline });
  killed.hear(said("one"));
  await until(killed, ({ unsaved }) => unsaved === 0);
  await killed.close();
  let read = () => {};
  const gate = new Promise<void>((resolve) => (read = resolve));
  const slow = storeWith({ heads: () => gate.then(() => store.heads()) }, store);
  const phone = open({ store: slow, session: killed.session });
  const receipt = call(phone, "two", "three");
  assert.equal(phone.state.unsaved, 2);
  read();
  assertComplete(await receipt, 3);
  assert.deepEqual(await contents(phone), ["one", "two", "three"]);
});

test("two devices with the same session lose no line, although they use the same numbers", async () => {
  const session = `vs_${randomUUID().replaceAll("-", "")}`;
  const [first, second] = [open({ session }), open({ session })];
  first.hear(said("from the first"));
  second.hear(said("from the second"));
  first.hear(said("Yes."));
  second.hear(said("Yes."));
  assertComplete(await first.end("hangup"), 2);
  const receipt = await second.end("another reason");
  assert.equal(receipt.complete, true);
  assert.deepEqual((await contents(first)).sort(), ["Yes.", "Yes.", "from the first", "from the second"]);
});

test("a reconnect ends a pause at once", async () => {
  const network = new Network(() => forged(503, { "retry-after": "600" }));
  const phone = open({ network });
  const receipt = call(phone, "one");
  await until(phone, ({ online }) => !online);
  phone.wake();
  assertComplete(await receipt, 1);
});

test("a request that is half open is given up after 20 seconds, also if `fetch` does not heed its signal", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let hang = () => {};
  const hangs = new Promise<void>((resolve) => (hang = resolve));
  const phone = open({ network: new Network(() => (hang(), new Promise(() => {}))) });
  const begun = phone.begin();
  await hangs;
  t.mock.timers.tick(20_000);
  await until(phone, ({ online }) => !online);
  t.mock.timers.reset();
  phone.wake();
  assert.equal((await begun).id, phone.session);
  assertComplete(await call(phone, "one"), 1);
});

test("a Retry-After is obeyed, and pauses without one grow to 30 seconds at most", async (t) => {
  const pauses: number[] = [];
  const real = setTimeout;
  t.mock.method(globalThis, "setTimeout", (done: () => void, time: number, ...rest: unknown[]) => {
    const isPause = new Error().stack?.includes("/dist/signal.js");
    if (isPause) pauses.push(time);
    return real(done, isPause ? 0 : time, ...rest);
  });
  const network = new Network(() => forged(503, { "retry-after": "7" }), ...Array(8).fill(() => forged(500)));
  const random = (bytes: Uint8Array<ArrayBuffer>) => (bytes.length > 1 ? crypto.getRandomValues(bytes) : bytes.fill(255));
  await open({ network, random }).begin();
  assert.deepEqual(pauses.map(Math.round), [7_498, 996, 1_992, 3_984, 7_969, 15_938, 29_883, 29_883, 29_883]);
});

test("a new token is asked for once after 401, and at once", async () => {
  const asked: boolean[] = [];
  const phone = open({ network: new Network(() => forged(401)), token: (renew) => (asked.push(renew), "") });
  await phone.begin();
  assert.deepEqual(asked, [false, true]);
});

test("a refused begin says why", async () => {
  const phone = open({ conversation: randomUUID() });
  const isMissing = (error: unknown) => error instanceof ProblemError && error.problem.status === 404;
  await assert.rejects(phone.begin(), isMissing);
  phone.hear(said("one"));
  await assert.rejects(phone.end("hangup"), isMissing);
  assert.deepEqual([phone.state.queued, phone.state.problem?.status], [1, 404]);
  await phone.close();
});

test("a good answer that is not one of the service costs nothing", async () => {
  const login = () => forged(200, {}, "<html>Welcome to our hotel.</html>");
  const json = () => forged(200, {}, '{"ok": true}');
  const network = new Network(login, json);
  const phone = open({ network });
  await phone.begin();
  network.add(login, json);
  phone.hear(said("one"));
  await until(phone, ({ queued, inFlight }) => queued + inFlight === 0);
  network.add(login, json);
  assertComplete(await phone.end("hangup"), 1);
});

test("a refused event is given to the app with its problem, also after a restart, and no receipt is complete", async () => {
  const store = new MemoryStore();
  const killed = open({ store });
  killed.hear(said("one"));
  killed.hear('{"role": "user", "content": "An event without a type."}');
  killed.hear(said("three"));
  await until(killed, ({ queued, inFlight, refused, unsaved }) => queued + inFlight + unsaved === 0 && refused === 1);
  await killed.close();
  const phone = open({ store, session: killed.session });
  const receipt = await phone.end("hangup");
  assert.deepEqual([receipt.complete, receipt.missing, receipt.client_lost], [false, [[2, 2]], 1]);
  assert.equal(phone.state.refused, 1);
  const [refused] = phone.takeRefused();
  assert.equal(refused?.number, 2);
  assert.equal(refused?.problem.status, 422);
  assert.match(refused?.text ?? "", /An event without a type/);
  assert.deepEqual(phone.takeRefused(), []);
});

test("a phone of an erased conversation forgets it, and says so", async () => {
  const store = new MemoryStore();
  const network = new Network();
  const phone = open({ store, network });
  const { conversation_id } = await phone.begin();
  network.add(() => new Promise(() => {}));
  phone.hear(said("one"));
  await until(phone, ({ inFlight }) => inFlight === 1);
  await fetch(`${api}/conversations/${conversation_id}`, { method: "DELETE" });
  const ended = phone.end("hangup");
  await Promise.all([assert.rejects(ended), phone.close()]);
  const again = open({ store, session: phone.session });
  await assert.rejects(again.end("hangup"), (error) => error instanceof ProblemError && error.problem.status === 410);
  again.hear(said("two"));
  assert.equal(again.state.lost, 1);
});

test("an app that is killed goes on with its calls when it starts again, and ends those that were ended", async () => {
  const store = new MemoryStore();
  const network = new Network();
  const offline = () => {
    network.add(offline);
    throw new TypeError("offline");
  };
  network.add(offline);
  const [ended, open_] = [open({ store, network }), open({ store, network })];
  void ended.end("hangup").catch(() => undefined);
  for (const phone of [ended, open_]) phone.hear(said("one"));
  await Promise.all([ended, open_].map((phone) => until(phone, ({ unsaved }) => unsaved === 0)));
  await Promise.all([ended.close(), open_.close()]);
  const phones = await Phone.resumeAll({ api, store, random: hasty });
  assert.deepEqual(phones.map(({ session }) => session).sort(), [ended.session, open_.session].sort());
  for (const phone of phones) assertComplete(await phone.end("interrupted"), 1);
  const session = (await (await fetch(`${api}/voice/sessions/${ended.session}`)).json()) as { end_reason: string };
  assert.equal(session.end_reason, "hangup");
});

test("a phone whose storage is full, and cannot be read, sends from memory", async () => {
  const fail = () => Promise.reject(new Error("full"));
  const phone = open({ store: storeWith({ append: fail, read: fail, remove: fail, putHead: fail }) });
  assertComplete(await call(phone, "one", "two", "three"), 3);
  phone.close();
});

test("what does not fit into 64 MiB is lost, counted, and shown in the receipt", async () => {
  const lost: (string | undefined)[] = [];
  const network = new Network();
  let isOffline = true;
  const result = JSON.stringify({ results: [{ kind: "recorded", status: 201, messages: [] }] });
  const fault = (path: string) => {
    network.add(fault);
    if (isOffline) throw new TypeError("offline");
    return path.endsWith("/events") ? forged(200, {}, result) : undefined; // the service need not take 64 MiB for this
  };
  network.add(fault);
  const phone = open({ network, onLost: (frame) => lost.push(frame) });
  const long = "x".repeat(2 ** 20);
  for (let count = 0; count < 64; count += 1) phone.hear(said(long));
  phone.hear(said("short"));
  phone.hear("no JSON");
  assert.deepEqual([phone.state.queued, phone.state.lost], [64, 2]);
  await until(phone, () => lost.length === 2);
  assert.ok(lost[0]?.includes(long));
  assert.equal(lost[1], "no JSON");
  isOffline = false;
  phone.wake();
  const receipt = await phone.end("hangup");
  assert.deepEqual([receipt.complete, receipt.expected, receipt.client_lost], [false, 66, 2]);
});

test("a clock that was never set, and is then corrected by years, costs no event", async () => {
  const network = new Network(() => new Promise(() => {}));
  const store = new MemoryStore();
  const killed = open({ store, network, now: () => 0 });
  killed.hear(said("in 1970"));
  await until(killed, ({ unsaved }) => unsaved === 0);
  await killed.close();
  const phone = open({ store, session: killed.session });
  await phone.begin();
  assertComplete(await call(phone, "today"), 2);
  assert.deepEqual(await contents(phone), ["in 1970", "today"]);
});

test("`hear` takes whatever it is given", async () => {
  const phone = open({ now: () => Number.NaN });
  for (const frame of ["", "{", "1", undefined, new ArrayBuffer(2), Symbol("x")]) phone.hear(frame as string);
  assert.equal(phone.state.queued + phone.state.lost, 6);
  phone.close();
});

test("two thousand events without a network are written once each", async () => {
  let written = 0;
  const memory = new MemoryStore();
  const append = (session: string, rows: readonly Row[]) => {
    for (const { text } of rows) written += text.length;
    return memory.append(session, rows);
  };
  const phone = open({ store: storeWith({ append }, memory), network: new Network(() => new Promise(() => {})) });
  let heard = 0;
  for (let count = 1; count <= 2_000; count += 1) {
    const frame = said(`Number ${count} of many words that nobody hears.`);
    heard += frame.length;
    phone.hear(frame);
  }
  await until(phone, ({ unsaved }) => unsaved === 0);
  phone.close();
  assert.ok(written < heard + 2_000 * 130, `${written} bytes for ${heard}`);
});

test("the state is the same object until it changes", async () => {
  const phone = open({ network: new Network(() => new Promise(() => {})) });
  const { state } = phone;
  assert.equal(phone.state, state);
  phone.hear(said("one"));
  assert.notEqual(phone.state, state);
  assert.equal(phone.state.queued, 1);
  phone.close();
});

test("`hear` takes less than 50 µs in the median", async (t) => {
  const phone = open({ network: new Network(() => new Promise(() => {})) });
  const times: number[] = [];
  for (let count = 0; count < 5_000; count += 1) {
    const frame = said(`Number ${count}: remind me to call the dentist tomorrow at nine.`);
    const begun = performance.now();
    phone.hear(frame);
    times.push(1_000 * (performance.now() - begun));
    if (count % 50 === 0) await new Promise(setImmediate);
  }
  await phone.close();
  const median = times.sort((one, other) => one - other)[2_500]!;
  t.diagnostic(`${median.toFixed(1)} µs`);
  assert.ok(median < 50, `${median} µs`);
});
