/** A phone and the service, with everything in between that there is: networks, proxies, clocks, storage, kills. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import test from "node:test";
import { MemoryStore, Phone, ProblemError, type Receipt, type Row } from "verbatim-record";
import { api, atEvents, call, contents, forged, hasty, messages, Network, open, said, storeWith, until } from "./network.ts";

function assertComplete(receipt: Receipt, received: number): void {
  assert.deepEqual({ ...receipt, duplicates: 0, last_sequence: 0 }, {
    complete: true, received, expected: received, missing: [], duplicates: 0, last_sequence: 0, more_missing: 0, client_lost: 0,
  });
}

test("a call is on record as it was heard, and nothing is left in the storage", async () => {
  const store = new MemoryStore();
  const phone = open({ store });
  const begun = await phone.begin();
  assert.equal(begun.id, phone.session);
  phone.hear(said("one"));
  phone.sent(said("two", "assistant"));
  assertComplete(await call(phone, "three"), 3);
  assert.deepEqual(await contents(phone), ["one", "two", "three"]);
  await until(phone, ({ unsaved }) => unsaved === 0);
  assert.deepEqual(await store.heads(), []);
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
