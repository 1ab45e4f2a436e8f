import assert from "node:assert/strict";
import { test } from "node:test";
import type { DeliveryResponse } from "../../clients/typescript/src/types.ts";
import { adviceOf, answerOf, nextOf, outcomeOf } from "../src/deliveries/advice.ts";

const NOW = Date.parse("2026-11-29T12:00:00Z");
const at = (seconds: number) => new Date(NOW + 1000 * seconds).toISOString();

const PENDING: DeliveryResponse = {
  id: "1",
  conversation_id: "2",
  type: "intent.extracted",
  state: "pending",
  attempts: 0,
  created_at: at(-90),
  due_at: at(-90),
  delivered_at: null,
  last_attempt_at: null,
  last_status: null,
  last_error: null,
  webhook_id: "msg_1",
};
const answered = (last_status: number | null, last_error: string): DeliveryResponse => ({ ...PENDING, attempts: 1, last_status, last_error });

test("what no worker has taken for a minute says so, and what is due only now does not", () => {
  assert.match(adviceOf(PENDING, NOW) ?? "", /No worker has sent it/);
  assert.equal(adviceOf({ ...PENDING, due_at: at(-5) }, NOW), undefined);
  assert.equal(adviceOf({ ...PENDING, state: "held" }, NOW), undefined);
});

test("what failed says what can be done about the last answer", () => {
  for (const [status, words] of [[302, /Redirects/], [401, /signature/], [404, /name the address/], [410, /wants no/], [422, /refuses/], [503, /has failed/]] as const)
    assert.match(adviceOf(answered(status, `The orchestrator answered ${status}.`), NOW) ?? "", words);
  assert.match(adviceOf(answered(null, "The host name of the orchestrator resolves to an address that is not public."), NOW) ?? "", /PRIVATE/);
  assert.match(adviceOf(answered(null, "The TLS handshake with the orchestrator failed."), NOW) ?? "", /certificate/);
  assert.match(adviceOf(answered(null, "No connection to the orchestrator could be opened."), NOW) ?? "", /run/);
});

test("what was delivered needs nothing", () => {
  assert.equal(adviceOf({ ...answered(204, ""), last_error: null, state: "delivered" }, NOW), undefined);
});

test("only what is pending has a next attempt", () => {
  assert.equal(nextOf(PENDING, NOW), "now");
  assert.notEqual(nextOf({ ...PENDING, due_at: at(300) }, NOW), "now");
  for (const state of ["failed", "held", "delivered"] as const) assert.equal(nextOf({ ...PENDING, state }, NOW), undefined);
});

test("the last answer is the error, else the status, else that an attempt is under way", () => {
  assert.equal(answerOf(answered(500, "The orchestrator answered 500.")), "The orchestrator answered 500.");
  assert.equal(answerOf({ ...PENDING, state: "delivered", last_status: 204 }), "The orchestrator answered 204.");
  assert.equal(answerOf({ ...PENDING, attempts: 1 }), "An attempt is under way.");
  assert.equal(answerOf(PENDING), undefined);
});

test("what became of a delivery that was sent again is said once its attempt has ended", () => {
  const sent = answered(500, "The orchestrator answered 500.");
  assert.equal(outcomeOf(sent, sent), undefined);
  assert.equal(outcomeOf(sent, { ...PENDING, attempts: 2 }), undefined);
  const accepted = { ...PENDING, attempts: 2, state: "delivered", last_status: 204 } as const;
  assert.deepEqual(outcomeOf(sent, accepted), { words: "The orchestrator has accepted it, with 204.", isBad: false });
  const again = outcomeOf(sent, { ...sent, attempts: 2, state: "failed" });
  assert.deepEqual(again, { words: "The orchestrator answered 500. That was the last attempt.", isBad: true });
});
