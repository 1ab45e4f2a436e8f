/** The reading client against the service at VERBATIM_URL, over a network that loses what it is told to lose. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import test from "node:test";
import { etagOf, pages, ProblemError, TransportError, UnexpectedResponse, Verbatim } from "verbatim-record";

const api = `${process.env["VERBATIM_URL"]}/api/v1`;
const verbatim = new Verbatim({ api });

type Fetch = typeof fetch;

/** A client whose requests go through `through`, which may lose them, or their answers. */
const over = (through: (send: () => Promise<Response>, init: RequestInit, url: string) => Promise<Response>) =>
  new Verbatim({ api, fetch: ((url, init) => through(() => fetch(url, init), init!, String(url))) as Fetch });

/** Lets the package wait for nothing, and returns how long it would have waited, in milliseconds. */
function hurry(t: test.TestContext): number[] {
  const waits: number[] = [];
  const real = setTimeout;
  t.mock.method(globalThis, "setTimeout", (done: () => void, time: number, ...rest: unknown[]) => {
    const isPause = time < 20_000 && new Error().stack?.includes("/dist/watch.js");
    if (isPause) waits.push(time);
    return real(done, isPause ? 0 : time, ...rest);
  });
  return waits;
}

async function talk(...said: string[]): Promise<string> {
  const { id } = await verbatim.createConversation({ context_type: "voice" });
  for (const content of said) await verbatim.recordMessage({ conversation_id: id, role: "user", content });
  return id;
}

const contents = async (messages: AsyncIterable<{ content: string }>, most = Infinity): Promise<string[]> => {
  const found: string[] = [];
  for await (const { content } of messages) if (found.push(content) >= most) break;
  return found;
};

test("every operation has a method, and `follow` reads the one that only streams", () => {
  const document = JSON.parse(readFileSync(new URL("../../../openapi.json", import.meta.url), "utf8"));
  const operations = Object.values<Record<string, { operationId: string }>>(document.paths).flatMap(Object.values);
  assert.ok(operations.length > 20);
  for (const { operationId } of operations) {
    const method = operationId === "followConversation" ? "follow" : operationId;
    assert.equal(typeof verbatim[method as keyof Verbatim], "function", operationId);
  }
});

test("what is recorded is read back page by page and in each format", async () => {
  const id = await talk("one", "two", "three");
  assert.deepEqual(await contents(pages((cursor) => verbatim.listMessages(id, { limit: 2, cursor }))), ["one", "two", "three"]);
  const transcript = await verbatim.getTranscript(id);
  assert.deepEqual(transcript.messages.map(({ sequence }) => sequence), [1, 2, 3]);
  assert.match(await verbatim.getTranscript(id, { format: "text" }), /user: three/);
  assert.equal((await verbatim.getTranscript(id, { format: "jsonl" })).trim().split("\n").length, 3);
  assert.deepEqual((await verbatim.getTranscript(id, { format: "openai" })).messages[0], { role: "user", content: "one" });
  assert.equal((await verbatim.getTranscript(id, { format: "deepgram" })).agent.context.messages.length, 3);
  const { messages } = await verbatim.getTranscript(id, { format: "openai", strict: true });
  assert.deepEqual(messages, [{ role: "user", content: "one\n\ntwo\n\nthree" }]);
  assert.match(await verbatim.getTranscript(id, { format: "srt" }), /^1\n00:00:00,000 --> /);
});

test("an operator reads the state of the service", async () => {
  const { readiness, schema, workers } = await verbatim.getService();
  assert.equal(readiness.ready, true);
  assert.equal(schema?.code, schema?.database);
  assert.equal(workers, 1);
});

test("what was said is found page by page, with its place in the text", async () => {
  await talk("Gọi nha sĩ.", "Ai?", "Nha sĩ Lan.");
  while ((await verbatim.search({ q: "nha lan" })).data.length === 0); // until it is indexed
  const hits = [];
  for await (const hit of pages((cursor) => verbatim.search({ q: "nha si", limit: 1, cursor }))) hits.push(hit);
  assert.deepEqual(hits.map(({ message }) => message.content), ["Nha sĩ Lan.", "Gọi nha sĩ."]);
  assert.deepEqual(hits[0]!.ranges, [[0, 3], [4, 6]]);
  assert.equal(hits[0]!.before?.content, "Ai?");
});

test("a search that is too slow is not repeated", async (t) => {
  hurry(t);
  let requests = 0;
  const slow = over(async () => {
    requests += 1;
    return problem("search-too-slow", 503);
  });
  await assert.rejects(slow.search({ q: "common" }), ProblemError);
  assert.equal(requests, 1);
});

test("a request is sent as often as the caller allows", async (t) => {
  hurry(t);
  let requests = 0;
  const slow = over(async () => {
    requests += 1;
    return problem("too-slow", 504);
  });
  await assert.rejects(slow.getStats({}, { attempts: 1 }), ProblemError);
  assert.equal(requests, 1);
  await assert.rejects(slow.getStats({}, { attempts: 3 }), ProblemError);
  assert.equal(requests, 4);
});

test("a timeline is read part by part", async () => {
  const id = await talk("one", "two", "three");
  const first = await verbatim.getTimeline(id, { limit: 2 });
  assert.deepEqual(first.segments.map(({ lane, kind, label }) => [lane, kind, label]), [
    ["user", "speech", "one"],
    ["user", "speech", "two"],
  ]);
  assert.equal(first.has_more, true);
  const second = await verbatim.getTimeline(id, { cursor: first.next_cursor ?? "" });
  assert.deepEqual(second.segments.map(({ label }) => label), ["three"]);
});

test("a call is summarised, and calls are counted", async () => {
  const id = await talk("one", "two");
  const { summary } = await verbatim.getConversation(id, { include: "summary" });
  assert.deepEqual([summary?.state, summary?.turns, summary?.first_words], ["live", 1, "one"]);
  assert.equal((await verbatim.getConversation(id)).summary, undefined);
  const page = await verbatim.listConversations({ include: "summary", limit: 1 });
  assert.deepEqual(page.data[0]?.summary, summary);
  const { total, buckets } = await verbatim.getStats({ source: "posts" });
  assert.ok(total.calls > 0 && buckets.length > 90);
  assert.equal(buckets.reduce((sum, { turns }) => sum + turns, 0), total.turns);
});

test("a batch has an answer for each message", async () => {
  const conversation_id = await talk();
  const good = { conversation_id, role: "user", content: "Hello" } as const;
  const { results } = await verbatim.recordMessages({ messages: [good, { ...good, conversation_id: randomUUID() }] });
  assert.deepEqual(results.map(({ status }) => status), [201, 404]);
});

test("a refusal names its kind and finds its line in the log", async () => {
  await assert.rejects(verbatim.getConversation(randomUUID()), (error) => {
    assert.ok(error instanceof ProblemError);
    assert.ok(error.is("conversation-not-found") && !error.is("invalid"));
    assert.match(error.message, new RegExp(error.problem.request_id));
    return true;
  });
});

test("what was sent without an answer is sent again, and recorded once", async (t) => {
  hurry(t);
  const conversation_id = await talk();
  let requests = 0;
  const shaky = over(async (send) => {
    requests += 1;
    if (requests === 1) throw new TypeError("offline");
    const answer = await send();
    if (requests === 2) throw new TypeError("sent, but the answer was lost");
    return answer;
  });
  await shaky.recordMessage({ conversation_id, role: "user", content: "once" });
  assert.equal(requests, 3);
  assert.equal((await verbatim.getConversation(conversation_id)).message_count, 1);
});

test("a service without end of failures is given up after six attempts", async (t) => {
  hurry(t);
  let requests = 0;
  const dead = over(() => Promise.reject(new TypeError(`offline ${(requests += 1)}`)));
  await assert.rejects(dead.listConversations(), TransportError);
  assert.equal(requests, 6);
});

test("the seconds of Retry-After are waited for", async (t) => {
  const waits = hurry(t);
  let requests = 0;
  const busy = over((send) => {
    requests += 1;
    return requests === 1 ? Promise.resolve(problem("busy", 503, { "retry-after": "7" })) : send();
  });
  await busy.listConversations();
  assert.equal(waits.length, 1);
  assert.ok(waits[0]! >= 7000 && waits[0]! <= 7500);
});

test("after 401 the same is sent once more with a new token, and then no more", async (t) => {
  const waits = hurry(t);
  const sent: string[] = [];
  const guard: Fetch = async (_url, init) => {
    sent.push(new Headers(init?.headers).get("authorization") ?? "");
    return problem("token-invalid", 401);
  };
  let token = 0;
  const stranger = new Verbatim({ api, fetch: guard, token: async () => `t${(token += 1)}` });
  await assert.rejects(stranger.listConversations(), ProblemError);
  assert.deepEqual(sent, ["Bearer t1", "Bearer t2"]);
  assert.deepEqual(waits, [0]);
});

test("a read names the latest write of its client, or allows a replica anything, if it is told to", async () => {
  const conversation_id = await talk();
  const places = ["0000000000000009", "000000000000012c", "0000000000000020"];
  const asked = async (consistency?: "strong" | "session" | "eventual", last = places[2]) => {
    const names: (string | null)[] = [];
    const written = [...places.slice(0, 2), last];
    const replicated: Fetch = async (url, init) => {
      const headers = new Headers(init?.headers);
      names.push(headers.get("verbatim-position") ?? headers.get("prefer"));
      const answer = await fetch(url, init);
      const place = init?.method === "POST" ? written.shift() : undefined;
      return new Response(answer.body, { status: answer.status, headers: place ? { "verbatim-position": place } : {} });
    };
    const client = new Verbatim({ api, fetch: replicated as Fetch, ...(consistency && { consistency }) });
    await client.getConversation(conversation_id);
    for (const content of places) await client.recordMessage({ conversation_id, role: "user", content });
    await client.getConversation(conversation_id);
    return names;
  };
  assert.deepEqual(await asked(), [null, null, null, null, null]);
  assert.deepEqual(await asked("session"), [null, null, null, null, "000000000000012c"]);
  assert.deepEqual(await asked("session", ""), [null, null, null, null, null]); // no position covers the last write
  assert.deepEqual(await asked("eventual"), ["consistency=eventual", null, null, null, "consistency=eventual"]);
});

test("a token that does not come, and a fetch that does not end, are given up and asked for again", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let asked = 0;
  const forever = new Promise<never>(() => {});
  const stuck = new Verbatim({ api, token: () => ((asked += 1) === 1 ? forever : ""), fetch: () => forever });
  const leaving = new AbortController();
  const call = stuck.listConversations({}, { signal: leaving.signal });
  for (const _ of [1, 2]) {
    t.mock.timers.tick(20_000);
    for (let turn = 0; turn < 10; turn += 1) await new Promise(setImmediate);
    t.mock.timers.tick(1_000);
    for (let turn = 0; turn < 10; turn += 1) await new Promise(setImmediate);
  }
  assert.equal(asked, 3);
  leaving.abort(new Error("left the screen"));
  await assert.rejects(call, /left the screen/);
});

test("the page of a hotel's network is not taken for an answer", async () => {
  const page = new Response("<html>Welcome</html>", { headers: { "content-type": "text/html" } });
  await assert.rejects(over(async () => page).listConversations(), UnexpectedResponse);
});

test("a conditional change is not repeated when its outcome is unknown", async (t) => {
  hurry(t);
  const id = await talk();
  const ifMatch = etagOf(await verbatim.getConversation(id));
  assert.ok(ifMatch);
  let requests = 0;
  const shaky = over(async (send) => {
    requests += 1;
    await send();
    throw new TypeError("sent, but the answer was lost");
  });
  await assert.rejects(shaky.endConversation(id, {}, { ifMatch }), TransportError);
  assert.equal(requests, 1);
  const late = verbatim.linkConversation(id, { linked_goal_id: null }, { ifMatch });
  await assert.rejects(late, (error) => error instanceof ProblemError && error.problem.status === 412);
});

test("a follower misses nothing and sees nothing twice when its stream is cut again and again", async (t) => {
  hurry(t);
  const said = Array.from({ length: 20 }, (_, number) => `Number ${number}.`);
  const id = await talk(...said.slice(0, 5));
  let streams = 0;
  let begin = (): void => undefined;
  const opened = new Promise<void>((resolve) => (begin = () => resolve()));
  const shaky = over(async (send, _init, url) => {
    const answer = await send();
    if (!url.includes("/live")) return answer;
    streams += 1;
    begin();
    return new Response(cutAfter(answer.body!, 900), answer);
  });
  const heard = contents(shaky.follow(id));
  await opened; // what is said before, it reads from pages
  for (const content of said.slice(5)) await verbatim.recordMessage({ conversation_id: id, role: "user", content });
  await verbatim.endConversation(id);
  assert.deepEqual(await heard, said);
  assert.ok(streams > 3);
});

test("a follower polls where a body cannot be read while it comes", async (t) => {
  hurry(t);
  const id = await talk("one", "two");
  const native = over(async (send, _init, url) => {
    assert.ok(!url.includes("/live"));
    return Object.defineProperty(await send(), "body", { value: undefined });
  });
  const heard = contents(native.follow(id, { afterSequence: 1 }));
  await verbatim.recordMessage({ conversation_id: id, role: "user", content: "three" });
  await verbatim.endConversation(id);
  assert.deepEqual(await heard, ["two", "three"]);
});

test("a follower whose signal aborts stops with the reason", async () => {
  const id = await talk("one");
  const leaving = new AbortController();
  const heard = contents(verbatim.follow(id, { signal: leaving.signal }));
  leaving.abort(new Error("left the screen"));
  await assert.rejects(heard, /left the screen/);
});

test("the feed goes on from the cursor that came with a message", async () => {
  let cursor = (await verbatim.readFeed({ start: "end" })).next_cursor ?? undefined;
  const id = await talk("one", "two", "three");
  const seen: string[] = [];
  while (seen.length < 3) {
    for await (const [place, message] of verbatim.feed({ cursor })) {
      if (message.conversation_id === id) seen.push(message.content);
      cursor = place;
      break; // and connects again
    }
  }
  assert.deepEqual(seen, ["one", "two", "three"]);
});

test("an intent, its delivery, an export and an erasure", async () => {
  const user_id = `u-${randomUUID()}`;
  const { id } = await verbatim.createConversation({ context_type: "voice", user_id });
  const intent = await verbatim.putIntent(id, { intent: "NEW_TASK", payload: { title: "Call the dentist" } });
  assert.equal((await verbatim.getIntent(id)).version, intent.version);
  const exported: unknown[] = [];
  for await (const line of verbatim.exportSubject({ user_id })) exported.push(line);
  assert.equal(exported.length, 1);
  assert.deepEqual(await verbatim.eraseSubject({ user_id }), { user_id, erased: 1, messages: 0, left: 0, kept: [] });
  const erased = await verbatim.listErasures({ user_id });
  assert.deepEqual([erased.data.map(({ message_count }) => message_count), erased.has_more], [[0], false]);
});

function problem(slug: string, status: number, headers: Record<string, string> = {}): Response {
  const body = { type: `/problems/${slug}`, title: "", status, detail: "", instance: "", request_id: "" };
  return new Response(JSON.stringify(body), { status, headers: { "content-type": "application/problem+json", ...headers } });
}

/** The body, whose reader fails once it has taken `most` bytes. */
function cutAfter(body: ReadableStream<Uint8Array>, most: number): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  let taken = 0;
  const source: UnderlyingDefaultSource<Uint8Array> = {
    async pull(out) {
      if (taken >= most) throw new TypeError("the connection was cut");
      const { done, value } = await reader.read();
      if (done) return out.close();
      out.enqueue(value.subarray(0, most - taken));
      taken += value.length;
    },
    cancel: (reason) => reader.cancel(reason),
  };
  return new ReadableStream(source, { highWaterMark: 0 });
}
