import { Phone, Verbatim } from "verbatim-record";
import { AgentConnection } from "verbatim-record/deepgram";
import { IndexedDbStore } from "verbatim-record/indexeddb";
import { listen, Loudspeaker } from "./audio.js";

const api = new URLSearchParams(location.search).get("api") ?? "http://127.0.0.1:8000/api/v1";
const token = async () => localStorage.getItem("token") ?? ""; // your app asks its own server; local mode needs none
const verbatim = new Verbatim({ api, token });
const store = new IndexedDbStore();

const AUDIO = { encoding: "linear16", sample_rate: 16_000 };
const SETTINGS = {
  type: "Settings",
  audio: { input: AUDIO, output: { ...AUDIO, container: "none" } },
  agent: {
    greeting: "Hello! What can I do for you?",
    listen: { provider: { type: "deepgram", model: "flux-general-en" } },
    think: { provider: { type: "open_ai", model: "gpt-4o-mini" }, prompt: "You keep a list of tasks. Answer briefly." },
    speak: { provider: { type: "deepgram", model: "aura-2-thalia-en" } },
  },
};

const find = (selector) => document.querySelector(selector);
const loudspeaker = new Loudspeaker();
let connection;

// What calls of a closed tab have left unsent goes out now.
for (const phone of await Phone.resumeAll({ api, token, store })) void phone.end("interrupted");

find("#call").onclick = () => (connection ? connection.hangUp() : call());
find("#call").disabled = false;

find("#typed").onsubmit = (event) => {
  event.preventDefault();
  const content = event.target.content.value.trim();
  if (content && connection?.send({ type: "InjectUserMessage", content })) {
    showSaid("user", content);
    event.target.reset();
  }
};

async function call() {
  find("#call").disabled = true;
  find("#status").textContent = "Calling …";
  let silence;
  try {
    silence = await listen((audio) => connection?.sendAudio(audio));
    await converse(Phone.open({ api, token, store }));
  } catch (error) {
    showCall(false);
    find("#status").textContent = error.message;
  } finally {
    silence?.();
  }
}

async function converse(phone) {
  phone.subscribe(() => showQueue(phone.state));
  const { conversation_id } = await phone.begin();
  connection = new AgentConnection({ phone, verbatim, settings: SETTINGS, onEvent, onAudio: (audio) => loudspeaker.play(audio) });
  showCall(true);
  void showRecord(conversation_id);
  try {
    await connection.run();
  } finally {
    connection = undefined;
    showCall(false);
    showReceipt(await phone.end("hangup"));
  }
}

function onEvent(event) {
  if (event.type === "UserStartedSpeaking") loudspeaker.interrupt();
  if (event.type === "ConversationText") showSaid(event.role, event.content);
}

async function showRecord(conversation) {
  find("#record").replaceChildren();
  for await (const { sequence, role, content } of verbatim.follow(conversation)) {
    const cells = Object.entries({ sequence, role, content }).map(([name, text]) => element("span", name, String(text)));
    find("#record").append(Object.assign(document.createElement("li"), { className: role }));
    find("#record").lastChild.append(...cells);
  }
}

function showSaid(role, content) {
  find("#said").append(element("li", role, content));
}

function showCall(on) {
  if (on) find("#said").replaceChildren();
  find("#status").textContent = on ? "In a call" : "Not in a call";
  find("#call").textContent = on ? "Hang up" : "Call";
  find("#call").disabled = false;
  find("#call").classList.toggle("hang-up", on);
  for (const each of find("#typed").elements) each.disabled = !on;
  if (on) find("#receipt").textContent = "";
}

function showQueue(state) {
  for (const each of document.querySelectorAll("[data-of]")) each.textContent = String(state[each.dataset.of]);
  const offline = "Offline: what is said is kept on this device";
  if (connection) find("#status").textContent = state.online ? "In a call" : offline;
}

function showReceipt({ complete, received, expected }) {
  find("#receipt").className = complete ? "complete" : "incomplete";
  find("#receipt").textContent = `${received} of ${expected} events are on record${complete ? ": complete" : ""}`;
}

function element(tag, className, textContent) {
  return Object.assign(document.createElement(tag), { className, textContent });
}
