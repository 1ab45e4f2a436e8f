import assert from "node:assert/strict";
import { test } from "node:test";
import type { ListMessagesQuery, MessagePage, MessageResponse } from "../../clients/typescript/src/types.ts";
import { PAGE, Reader } from "../src/call/reader.ts";

/** A record of messages, which answers as the service does. */
class Conversation {
  readonly messages: MessageResponse[] = [];
  asked = 0;

  /** Records a message that was said at a second. */
  say(second = this.messages.length + 1): MessageResponse {
    const sequence = this.messages.length + 1;
    const timestamp = new Date(second * 1000).toISOString();
    const message: MessageResponse = {
      id: `${sequence}`, conversation_id: "c", sequence, role: "user", content: "", input_modality: "voice", metadata: {},
      timestamp, created_at: timestamp, voice_session_id: null, client_sequence: null,
    };
    this.messages.push(message);
    return message;
  }

  readonly read = async ({ direction, order, after_sequence = 0, since, until, limit = 50, cursor }: ListMessagesQuery): Promise<MessagePage> => {
    this.asked += 1;
    const by = (one: MessageResponse, other: MessageResponse) =>
      (order === "recorded" ? 0 : one.timestamp.localeCompare(other.timestamp)) || one.sequence - other.sequence;
    const sorted = this.messages
      .filter(({ sequence, timestamp }) => sequence > after_sequence && (!since || timestamp >= since) && (!until || timestamp < until))
      .sort(by);
    if (direction === "backward") sorted.reverse();
    const from = cursor ? sorted.findIndex(({ id }) => id === cursor) + 1 : 0;
    const data = sorted.slice(from, from + limit);
    return { data, next_cursor: data.at(-1)?.id ?? null, has_more: from + limit < sorted.length };
  };
}

function conversation(messages: number): [Conversation, Reader] {
  const said = new Conversation();
  for (let number = 0; number < messages; number += 1) said.say();
  return [said, new Reader(said.read)];
}

function shown(reader: Reader): number[] {
  return reader.shown.value.messages.map(({ sequence }) => sequence);
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, place) => first + place);
}

test("a call that has ended opens at its beginning, and turns to its end and back", async () => {
  const [said, reader] = conversation(2 * PAGE + 1);
  await reader.open(undefined, false);
  assert.deepEqual(shown(reader), range(1, PAGE));
  assert.deepEqual([reader.shown.value.earlier, reader.shown.value.later], [false, true]);
  await reader.later();
  await reader.later();
  assert.deepEqual(shown(reader), [2 * PAGE + 1]);
  assert.equal(reader.shown.value.later, false);
  const asked = said.asked;
  await reader.earlier();
  await reader.earlier();
  assert.deepEqual(shown(reader), range(1, PAGE));
  assert.equal(said.asked, asked);
});

test("a call that goes on opens at its end", async () => {
  const [, reader] = conversation(PAGE + 10);
  await reader.open(undefined, true);
  assert.deepEqual(shown(reader), range(11, PAGE + 10));
  await reader.earlier();
  assert.deepEqual(shown(reader), range(1, 10));
});

test("a place in the middle opens with messages on both sides", async () => {
  for (const at of ["500", new Date(500_000).toISOString()]) {
    const [, reader] = conversation(1000);
    await reader.open(at, false);
    assert.deepEqual(shown(reader), range(450, 649));
    await reader.earlier();
    assert.deepEqual(shown(reader), range(250, 449));
    await reader.later();
    await reader.later();
    assert.deepEqual(shown(reader), range(650, 849));
  }
});

test("a place that is shown, or that there is none of, is not read", async () => {
  const [said, reader] = conversation(10);
  await reader.open("no place", false);
  assert.deepEqual(shown(reader), range(1, 10));
  await reader.open("7", false);
  assert.equal(said.asked, 1);
});

test("a part that is turned to comes onto the page in two steps, from where the reader goes on", async () => {
  const [, reader] = conversation(2 * PAGE);
  await reader.open(undefined, false);
  const steps: number[][] = [];
  const done = reader.shown.subscribe(() => void steps.push(shown(reader)));
  await reader.later();
  await reader.earlier();
  done();
  assert.deepEqual(steps.slice(1), [
    range(PAGE + 1, 1.5 * PAGE),
    range(PAGE + 1, 2 * PAGE),
    range(PAGE / 2 + 1, PAGE),
    range(1, PAGE),
  ]);
});

test("two quick turns are one", async () => {
  const [, reader] = conversation(1000);
  await reader.open(undefined, false);
  await Promise.all([reader.later(), reader.later()]);
  assert.deepEqual(shown(reader), range(PAGE + 1, 2 * PAGE));
});

test("what comes takes its place by its time, and comes once", async () => {
  const [said, reader] = conversation(10);
  await reader.open(undefined, true);
  const [next, late] = [said.say(20), said.say(5.5)];
  for (const message of [next, late, next]) reader.take(message);
  assert.deepEqual(shown(reader), [1, 2, 3, 4, 5, 12, 6, 7, 8, 9, 10, 11]);
});

test("what comes during a pause is counted, and then shown", async () => {
  const [said, reader] = conversation(3);
  await reader.open(undefined, true);
  reader.pause();
  reader.take(said.say());
  reader.take(said.say());
  assert.deepEqual([shown(reader), reader.shown.value.fresh], [range(1, 3), 2]);
  await reader.latest();
  assert.deepEqual([shown(reader), reader.shown.value.fresh], [range(1, 5), 0]);
});

test("what comes while an earlier part is shown is counted, and stands at the end", async () => {
  const [said, reader] = conversation(3 * PAGE);
  await reader.open("1", true);
  reader.take(said.say());
  assert.deepEqual([reader.shown.value.fresh, reader.shown.value.messages.length], [1, 150]);
  await reader.latest();
  assert.deepEqual(shown(reader), range(2 * PAGE + 2, 3 * PAGE + 1));
});

test("what comes while the last part is read is not missed", async () => {
  const [said] = conversation(PAGE + 10);
  let during = () => {};
  const reader = new Reader(async (query) => {
    const page = await said.read(query);
    during();
    return page;
  });
  await reader.open(undefined, false);
  during = () => reader.take(said.say());
  await reader.later();
  assert.deepEqual(shown(reader), range(PAGE + 1, PAGE + 11));
  await reader.open("1", false);
  during = () => {};
  await reader.latest();
  assert.equal(shown(reader).at(-1), said.messages.length);
});

test("a call that goes on for long has at most two pages on the page", async () => {
  const [said, reader] = conversation(PAGE);
  await reader.open(undefined, true);
  for (let number = 0; number < 3 * PAGE; number += 1) reader.take(said.say());
  assert.ok(reader.shown.value.messages.length <= 2 * PAGE);
  assert.equal(shown(reader).at(-1), 4 * PAGE);
  await reader.earlier();
  await reader.earlier();
  assert.equal(shown(reader)[0], 1);
});
