/**
 * A connection to Deepgram's Voice Agent, for a phone whose events are recorded.
 *
 * Deepgram keeps nothing of a connection that was lost. So before each connection the record is read: once everything
 * that the phone has heard is on record, the transcript is merged into the `Settings`, and the assistant goes on from
 * there without a second greeting. Each connection needs a new token, which Deepgram accepts for a minute.
 *
 * What Deepgram sends is numbered in the socket's own callback, before anything else runs: the numbers are the order.
 * `Settings` and `KeepAlive` are not forwarded. They hold prompts and keys, and nothing of the conversation.
 */
import { ProblemError, TransportError, UnexpectedResponse, VerbatimError } from "./errors.js";
import { type Queue, recorded } from "./recorded.js";
import type { DeepgramEvent, JsonValue } from "./types.js";
import type { Verbatim } from "./verbatim.js";
import { reasonOf, sleep } from "./watch.js";

type JsonObject = { [name: string]: JsonValue };

/** What the connection needs of a `Phone`. */
export interface Recording extends Queue {
  readonly session: string;
  hear(frame: string): void;
  sent(frame: string): void;
}

/** What Deepgram is told first. `agent` is spelled out, because the transcript is merged into it. */
export interface AgentSettings {
  type: "Settings";
  agent: JsonObject;
  [name: string]: JsonValue;
}

/** What a connection is made of. */
export interface ConnectionOptions {
  phone: Recording;
  /** Reads the transcript, and gets the tokens. */
  verbatim: Pick<Verbatim, "getDeepgramToken" | "getTranscript" | "getVoiceSession">;
  settings: AgentSettings;
  /** Takes the assistant's voice, in the encoding that `settings` ask for. */
  onAudio?: (audio: ArrayBuffer) => void;
  /** Takes each event; at `UserStartedSpeaking` the app stops what it plays. */
  onEvent?: (event: DeepgramEvent) => void;
  /** Opens a WebSocket with a bearer token; a default knows browsers, React Native and Node 22 or newer. */
  open?: ((url: string, token: string) => WebSocket) | undefined;
}

const KEEP_ALIVE = 8_000; // milliseconds; Deepgram closes after about 15 seconds without a frame
const READY = 15_000; // milliseconds in which Deepgram must have applied the settings
const REFUSALS = 3; // connections in a row that Deepgram ends with an error before it has applied the settings
const BACKOFF = [200, 500, 1_000, 2_000, 5_000]; // milliseconds before the next connection
const LAST_WORDS = 2_000; // milliseconds in which Deepgram may answer the close frame
const NORMAL = 1000; // the code of a connection that was closed in order (RFC 6455)

/** Deepgram refuses the settings; `code` is its last error. */
export class AgentRefused extends VerbatimError {
  readonly code: string;

  constructor(code: string) {
    super(`Deepgram ended ${REFUSALS} connections before it applied the settings (${code}).`);
    this.code = code;
  }
}

/** The connection of one call, made again whenever it is lost. */
export class AgentConnection {
  readonly #options: ConnectionOptions;
  readonly #hungUp = new AbortController();
  #socket: WebSocket | undefined;
  #ready = false;
  #conversation: string | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /** Talks until `hangUp`, or until Deepgram closes in order; rejects if Deepgram or the service refuses for good. */
  async run(): Promise<void> {
    let refusals = 0;
    for (let failed = 1; !this.#hungUp.signal.aborted; failed += 1) {
      try {
        const { code, applied, error } = await this.#connect();
        if (code === NORMAL && applied) return;
        if (applied) failed = 0;
        refusals = applied || error === undefined ? 0 : refusals + 1;
        if (refusals === REFUSALS) throw new AgentRefused(error ?? "");
      } catch (caught) {
        if (this.#hungUp.signal.aborted) return;
        if (!(caught instanceof TransportError) && !isPassing(caught)) throw caught;
      }
      await sleep(BACKOFF[Math.min(failed, BACKOFF.length - 1)]!, this.#hungUp.signal).catch(() => undefined);
    }
  }

  /** Whether the assistant hears: the settings are applied, and the connection stands. */
  get ready(): boolean {
    return this.#ready;
  }

  /** Sends and records a message, as `InjectUserMessage`; returns false, and does neither, while there is no connection. */
  send(message: DeepgramEvent): boolean {
    if (!this.#ready) return false;
    const frame = JSON.stringify(message);
    this.#socket?.send(frame);
    this.#options.phone.sent(frame);
    return true;
  }

  /** Sends what the microphone hears; it is dropped while there is no connection. */
  sendAudio(audio: ArrayBuffer | Uint8Array<ArrayBuffer>): void {
    if (this.#ready) this.#socket?.send(audio);
  }

  /** Ends the call. */
  hangUp(): void {
    this.#ready = false;
    this.#hungUp.abort();
  }

  /** Makes one connection, and resolves when it has ended. */
  async #connect(): Promise<Ended> {
    const { phone, verbatim, settings, open = openSocket } = this.#options;
    const signal = this.#hungUp.signal;
    await recorded(phone, signal);
    this.#conversation ??= (await verbatim.getVoiceSession(phone.session, { signal })).conversation_id;
    const past = await verbatim.getTranscript(this.#conversation, { format: "deepgram" }, { signal });
    const { url, access_token } = await verbatim.getDeepgramToken(phone.session, { signal });
    if (signal.aborted) throw reasonOf(signal);
    this.#socket = open(url, access_token);
    return this.#talk(this.#socket, JSON.stringify(merged(settings, past as object as JsonObject)));
  }

  #talk(socket: WebSocket, settings: string): Promise<Ended> {
    const { phone, onAudio, onEvent } = this.#options;
    const hungUp = this.#hungUp.signal;
    return new Promise((resolve) => {
      let isOver = false;
      const ended: Ended = { code: 0, applied: false, error: undefined };
      const end = (code: number) => {
        clearTimeout(late);
        clearTimeout(last);
        clearInterval(alive);
        hungUp.removeEventListener("abort", hangUp);
        // A socket that was given up closes late, perhaps when the next one talks already. What it says is still recorded.
        isOver = true;
        socket.onclose = null;
        this.#ready = false;
        resolve({ ...ended, code });
      };
      const late = setTimeout(() => {
        socket.close();
        end(0);
      }, READY);
      const alive = setInterval(() => this.#ready && socket.send('{"type":"KeepAlive"}'), KEEP_ALIVE);
      let last: ReturnType<typeof setTimeout> | undefined;
      const hangUp = () => {
        socket.close(NORMAL);
        last = setTimeout(end, LAST_WORDS, NORMAL);
      };
      hungUp.addEventListener("abort", hangUp);
      socket.binaryType = "arraybuffer";
      socket.onopen = () => socket.send(settings);
      socket.onclose = ({ code }) => end(code);
      socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
        if (typeof data === "string") phone.hear(data);
        if (isOver) return;
        if (typeof data !== "string") return onAudio?.(data);
        const event = parsed(data);
        if (!event) return;
        if (event.type === "SettingsApplied") {
          clearTimeout(late);
          ended.applied = this.#ready = true;
        }
        if (event.type === "Error") ended.error = String(event.code);
        onEvent?.(event);
      };
    });
  }
}

interface Ended {
  code: number;
  /** Whether Deepgram has applied the settings. */
  applied: boolean;
  /** The code of the last error that Deepgram sent. */
  error: string | undefined;
}

function parsed(frame: string): DeepgramEvent | undefined {
  try {
    return JSON.parse(frame) as DeepgramEvent;
  } catch {
    return undefined; // the phone counts it as lost
  }
}

/** Returns `target` with a merge patch (RFC 7396) applied. */
function merged(target: JsonObject, patch: JsonObject): JsonObject {
  const result = { ...target };
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = isObject(value) ? merged(asObject(result[name]), value) : value;
  }
  return result;
}

function asObject(value: JsonValue | undefined): JsonObject {
  return isObject(value) ? value : {};
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether the same may succeed later: 502 and 503 of the service, or an answer of a network in between. */
function isPassing(caught: unknown): boolean {
  return caught instanceof UnexpectedResponse || (caught instanceof ProblemError && caught.problem.status >= 500);
}

type SocketClass = new (url: string, protocols?: string[] | object, options?: object) => WebSocket;

/** Opens a WebSocket with a bearer token: in a header, or in a browser, which can send none, as a sub-protocol. */
function openSocket(url: string, token: string): WebSocket {
  const Socket = WebSocket as SocketClass;
  const headers = { authorization: `Bearer ${token}` };
  if (typeof navigator === "object" && navigator.product === "ReactNative") return new Socket(url, [], { headers });
  return "process" in globalThis ? new Socket(url, { headers }) : new Socket(url, ["bearer", token]);
}
