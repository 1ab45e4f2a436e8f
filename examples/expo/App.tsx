import { useEffect, useRef, useState } from "react";
import { AppState, Button, FlatList, SafeAreaView, StyleSheet, Text, TextInput } from "react-native";
import type { DeepgramEvent, PhoneState, Receipt } from "verbatim-record";
import { AgentConnection, type AgentSettings } from "verbatim-record/deepgram";
import { sendInBackground } from "./background";
import { openPhone, resumeAll, verbatim } from "./record";

const SETTINGS: AgentSettings = {
  type: "Settings",
  audio: { input: { encoding: "linear16", sample_rate: 16000 } },
  agent: {
    greeting: "Hello! What can I do for you?",
    listen: { provider: { type: "deepgram", model: "flux-general-en" } },
    think: { provider: { type: "open_ai", model: "gpt-4o-mini" }, prompt: "You keep a list of tasks. Answer briefly." },
    speak: { provider: { type: "deepgram", model: "aura-2-thalia-en" } },
  },
};

export default function App() {
  const connection = useRef<AgentConnection>(undefined);
  const [inCall, setInCall] = useState(false);
  const [said, setSaid] = useState<string[]>([]);
  const [state, setState] = useState<PhoneState>();
  const [receipt, setReceipt] = useState<Receipt>();

  useEffect(() => {
    void sendInBackground();
    void resumeAll().then((phones) => phones.map((phone) => phone.end("interrupted"))); // no call goes on when it starts
  }, []);

  const onEvent = (event: DeepgramEvent) => {
    if (event.type === "ConversationText") setSaid((before) => [...before, `${event.role}: ${event.content}`]);
  };

  // The microphone and the loudspeaker are left out: give what a PCM recorder gives to `connection.sendAudio`, and what
  // `onAudio` takes to a PCM player, which stops at `UserStartedSpeaking`.
  const call = async () => {
    const phone = openPhone();
    const stop = phone.subscribe(() => setState(phone.state));
    const screen = AppState.addEventListener("change", (now) => now === "active" && phone.wake());
    await phone.begin();
    setInCall(true);
    setSaid([]);
    connection.current = new AgentConnection({ phone, verbatim, settings: SETTINGS, onEvent });
    try {
      await connection.current.run();
    } finally {
      setInCall(false);
      setReceipt(await phone.end("hangup"));
      stop();
      screen.remove();
    }
  };

  const type = (content: string) => connection.current?.send({ type: "InjectUserMessage", content });

  return (
    <SafeAreaView style={styles.screen}>
      <Text style={styles.state}>{sentence(state, receipt)}</Text>
      <FlatList data={said} renderItem={({ item }) => <Text style={styles.line}>{item}</Text>} />
      <TextInput
        style={styles.input}
        editable={inCall}
        placeholder="Type instead of speaking"
        onSubmitEditing={({ nativeEvent }) => type(nativeEvent.text)}
      />
      <Button title={inCall ? "Hang up" : "Call"} onPress={() => (inCall ? connection.current?.hangUp() : void call())} />
    </SafeAreaView>
  );
}

/** What the user may know of the queue. */
function sentence(state: PhoneState | undefined, receipt: Receipt | undefined): string {
  if (state?.lost) return `${state.lost} events could not be kept: the storage of this phone is full.`;
  if (state && !state.online) return `Offline: ${state.queued} events are kept on this phone.`;
  if (state?.queued) return `${state.queued} events are being sent.`;
  return receipt?.complete ? "Everything is on record." : "";
}

const styles = StyleSheet.create({
  screen: { flex: 1, padding: 16, gap: 12 },
  state: { color: "#5c6472" },
  line: { fontSize: 16, paddingVertical: 4 },
  input: { borderWidth: 1, borderColor: "#dfe2e8", borderRadius: 8, padding: 10 },
});
