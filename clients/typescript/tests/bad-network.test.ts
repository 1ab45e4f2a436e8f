/** A hundred calls at VERBATIM_URL over a network that drops, repeats and delays, read back over the same network. */
import assert from "node:assert/strict";
import test from "node:test";
import { MemoryStore, pages, Phone, type StreamingFetch, Verbatim } from "verbatim-record";

const api = `${process.env["VERBATIM_URL"]}/api/v1`;
const CALLS = 100;
const AT_ONCE = 10;

/** Returns numbers from 0 (inclusive) to 1 (exclusive), the same ones for the same seed. */
function chance(seed: number): () => number {
  return () => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
}

/** A network that loses a request or its answer, delivers a request twice, or lets others overtake it. */
function badNetwork(next: () => number): StreamingFetch {
  return async (url, init) => {
    const fate = next();
    if (fate < 0.04) throw new TypeError("offline");
    if (fate < 0.2) await new Promise(setImmediate);
    if (fate < 0.1) void fetch(url, init).then((twice) => twice.body?.cancel(), () => undefined);
    const answer = await fetch(url, init);
    if (fate < 0.92) return answer;
    if (fate < 0.96) throw new TypeError("sent, but the answer was lost");
    return new Response("<html>Bad gateway</html>", { status: 502, headers: { "content-type": "text/html" } });
  };
}

test("a hundred calls over a bad network are read back as they were spoken", { timeout: 110_000 }, async (t) => {
  const real = setTimeout;
  t.mock.method(globalThis, "setTimeout", (done: () => void, time: number, ...rest: unknown[]) =>
    real(done, time < 20_000 && new Error().stack?.includes("/dist/") ? time / 50 : time, ...rest),
  );
  const numbers = Array.from({ length: CALLS }, (_, number) => number + 1);
  const taking = Array.from({ length: AT_ONCE }, async () => {
    for (let number = numbers.pop(); number !== undefined; number = numbers.pop()) await call(number);
  });
  await Promise.all(taking);
});

async function call(seed: number): Promise<void> {
  const next = chance(seed);
  const fetch = badNetwork(next);
  const said = Array.from({ length: 5 + Math.floor(20 * next()) }, (_, place) => `Call ${seed}, line ${place}: ¿qué? 好`);
  const phone = Phone.open({ api, fetch, store: new MemoryStore() });
  const { conversation_id } = await phone.begin();
  const verbatim = new Verbatim({ api, fetch });
  const followed = contents(verbatim.follow(conversation_id));
  for (const content of said) {
    phone.hear(JSON.stringify({ type: "ConversationText", role: "user", content }));
    if (next() < 0.3) await new Promise(setImmediate);
  }
  const { complete, received, expected } = await phone.end("hangup");
  assert.deepEqual([complete, received, expected], [true, said.length, said.length]);
  assert.deepEqual(await contents(pages((cursor) => verbatim.listMessages(conversation_id, { limit: 7, cursor }))), said);
  assert.deepEqual((await verbatim.getTranscript(conversation_id)).messages.map(({ content }) => content), said);
  assert.deepEqual(await followed, said);
}

async function contents(messages: AsyncIterable<{ content: string }>): Promise<string[]> {
  const found: string[] = [];
  for await (const { content } of messages) found.push(content);
  return found;
}
