/** The connection to Deepgram over sockets that the test holds in its hand; a whole call is in tests/clients/typescript/test_deepgram.py. */
import assert from "node:assert/strict";
import test from "node:test";
import { ProblemError, type DeepgramEvent } from "verbatim-record";
import { AgentConnection, AgentRefused, type ConnectionOptions } from "verbatim-record/deepgram";

const APPLIED = { type: "SettingsApplied" };

/** A socket whose other end is the test. */
class Socket {
  sent: string[] = [];
  closed: number | undefined;
  onopen = () => {};
  onclose = (_: { code: number }) => {};
  onmessage = (_: { data: unknown }) => {};
  send = (frame: string) => void this.sent.push(frame);
  close = (code = 1005) => {
    this.closed = code;
    this.onclose({ code });
  };
  says = (...events: DeepgramEvent[]) => events.forEach((event) => this.onmessage({ data: JSON.stringify(event) }));
}

/** A call with its phone, its service and its sockets: the n-th resolves when the n-th connection is made. */
function stage(more: Partial<ConnectionOptions> = {}) {
  const forwarded: string[] = [];
  const tokens: string[] = [];
  const opened: Socket[] = [];
  const waiting: (() => void)[] = [];
  const listeners = new Set<() => void>();
  const phone = {
    session: "vs_0123456789abcdef",
    state: { queued: 0, inFlight: 0 },
    subscribe: (listener: () => void) => (listeners.add(listener), () => void listeners.delete(listener)),
    hear: (frame: string) => void forwarded.push(frame),
    sent: (frame: string) => void forwarded.push(frame),
  };
  const verbatim = {
    getVoiceSession: async () => ({ conversation_id: "c" }),
    getTranscript: async () => ({ agent: { context: { messages: [{ type: "History" }] }, greeting: null } }),
    getDeepgramToken: async () => ({ url: "wss://agent", access_token: `t${opened.length + 1}`, expires_in: 60 }),
  } as unknown as ConnectionOptions["verbatim"];
  const open = (_url: string, token: string) => {
    tokens.push(token);
    waiting.shift()?.();
    return opened[opened.push(new Socket()) - 1] as unknown as WebSocket;
  };
  const settings = { type: "Settings", agent: { greeting: "Hello!", think: { prompt: "Be brief." } } } as const;
  const connection = new AgentConnection({ phone, verbatim, settings, open, ...more });
  const next = () => new Promise<Socket>((done) => waiting.push(() => queueMicrotask(() => done(opened.at(-1)!))));
  return { connection, phone, listeners, forwarded, tokens, opened, next };
}

test("a lost connection is made again, with a new token and what was said instead of a greeting", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  const { connection, tokens, forwarded, next } = stage();
  const first = next();
  const call = connection.run();
  const lost = await first;
  lost.onopen();
  assert.deepEqual(JSON.parse(lost.sent[0]!), {
    type: "Settings",
    agent: { think: { prompt: "Be brief." }, context: { messages: [{ type: "History" }] } },
  });
  lost.says(APPLIED, { type: "ConversationText", role: "user", content: "Hello" });
  const second = next();
  lost.onclose({ code: 1006 });
  await tick(t);
  const line = await second;
  line.says(APPLIED);
  assert.ok(connection.send({ type: "InjectUserMessage", content: "typed" }));
  line.onclose({ code: 1000 });
  await call;
  assert.deepEqual(tokens, ["t1", "t2"]);
  assert.deepEqual(forwarded.map((frame) => JSON.parse(frame).type), [
    "SettingsApplied",
    "ConversationText",
    "SettingsApplied",
    "InjectUserMessage",
  ]);
});

test("no connection is made while something that was heard is not on record", async () => {
  const { connection, phone, listeners, opened, next } = stage();
  phone.state = { queued: 1, inFlight: 0 };
  const first = next();
  const call = connection.run();
  await new Promise(setImmediate);
  assert.equal(opened.length, 0);
  phone.state = { queued: 0, inFlight: 0 };
  for (const listener of listeners) listener();
  const socket = await first;
  assert.equal(listeners.size, 0);
  socket.says(APPLIED);
  connection.hangUp();
  await call;
  assert.equal(socket.closed, 1000);
});

test("Deepgram hears something every eight seconds", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  const { connection, next } = stage();
  const first = next();
  const call = connection.run();
  const socket = await first;
  socket.says(APPLIED);
  t.mock.timers.tick(16_000);
  assert.deepEqual(socket.sent, ['{"type":"KeepAlive"}', '{"type":"KeepAlive"}']);
  socket.onclose({ code: 1000 });
  await call;
});

test("sound is dropped until the settings are applied", async () => {
  const { connection, next } = stage();
  const first = next();
  const call = connection.run();
  const socket = await first;
  connection.sendAudio(new Uint8Array(2));
  assert.equal(connection.send({ type: "InjectUserMessage", content: "too early" }), false);
  socket.says(APPLIED);
  connection.sendAudio(new Uint8Array(4));
  assert.deepEqual(socket.sent, [new Uint8Array(4)]);
  socket.onclose({ code: 1000 });
  await call;
});

test("settings that Deepgram refuses three times are not sent a fourth time", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  const { connection, opened, next } = stage();
  let line = next();
  const call = connection.run();
  const refused = assert.rejects(call, AgentRefused);
  for (let attempt = 1; attempt <= 3; attempt += 1) {
    const socket = await line;
    line = next();
    socket.says({ type: "Error", code: "INVALID_SETTINGS" });
    socket.onclose({ code: 1005 });
    await tick(t);
  }
  await refused;
  assert.equal(opened.length, 3);
});

test("a Deepgram that does not answer is given up after fifteen seconds, and asked again", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  const { connection, next } = stage();
  const first = next();
  const call = connection.run();
  const silent = await first;
  const second = next();
  t.mock.timers.tick(15_000);
  await tick(t);
  const socket = await second;
  assert.equal(silent.closed, 1005);
  socket.says(APPLIED);
  socket.onclose({ code: 1000 });
  await call;
});

test("a connection that was given up does not silence the one after it", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  const { connection, forwarded, next } = stage();
  const first = next();
  const call = connection.run();
  const stale = await first;
  let closes = () => {};
  stale.close = () => (closes = () => stale.onclose?.({ code: 1006 })); // the network is gone: a browser waits for an answer
  const second = next();
  t.mock.timers.tick(15_000);
  await tick(t);
  const line = await second;
  stale.onmessage?.({ data: JSON.stringify(APPLIED) }); // React Native still passes on what a closing socket hears
  assert.equal(connection.ready, false);
  assert.equal(forwarded.length, 1); // it is recorded all the same
  line.says(APPLIED);
  closes();
  assert.equal(connection.ready, true);
  connection.sendAudio(new Uint8Array(4));
  assert.deepEqual(line.sent, [new Uint8Array(4)]);
  line.onclose({ code: 1000 });
  await call;
});

test("a service without a key for Deepgram ends the call with its problem", async () => {
  const problem = { type: "/problems/provider-not-configured", status: 409, title: "", detail: "", instance: "", request_id: "" };
  const verbatim = {
    getVoiceSession: async () => ({ conversation_id: "c" }),
    getTranscript: async () => ({ agent: {} }),
    getDeepgramToken: () => Promise.reject(new ProblemError(problem as ProblemError["problem"])),
  } as unknown as ConnectionOptions["verbatim"];
  await assert.rejects(stage({ verbatim }).connection.run(), ProblemError);
});

for (const { platform, globals, rest } of [
  { platform: "a browser", globals: { process: undefined }, rest: [["bearer", "t1"]] },
  { platform: "Node", globals: {}, rest: [{ headers: { authorization: "Bearer t1" } }] },
  {
    platform: "React Native",
    globals: { navigator: { product: "ReactNative" } },
    rest: [[], { headers: { authorization: "Bearer t1" } }],
  },
]) {
  test(`${platform} sends the token where it can`, async (t) => {
    const opened = new Promise<unknown[]>((resolve) => {
      class Recorder extends Socket {
        constructor(...taken: unknown[]) {
          super();
          resolve(taken);
        }
      }
      replace(t, { ...globals, WebSocket: Recorder });
    });
    const { connection } = stage({ open: undefined });
    const call = connection.run();
    assert.deepEqual(await opened, ["wss://agent", ...rest]);
    connection.hangUp();
    await call;
  });
}

/** Gives global names another value, or takes them away if it is undefined, until the test has ended. */
function replace(t: test.TestContext, globals: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(globals)) {
    const before = Object.getOwnPropertyDescriptor(globalThis, name)!;
    t.after(() => Object.defineProperty(globalThis, name, before));
    if (value === undefined) Reflect.deleteProperty(globalThis, name);
    else Object.defineProperty(globalThis, name, { value, configurable: true });
  }
}

/** Lets what is due happen, and then the pause between two connections be over. */
async function tick(t: test.TestContext): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await new Promise(setImmediate);
  t.mock.timers.tick(5_000);
}
