/** Makes one call at VERBATIM_URL, and prints what the service says of it; test_deepgram.py plays the other side. */
import { MemoryStore, Phone, Verbatim } from "verbatim-record";
import { AgentConnection } from "verbatim-record/deepgram";

const api = `${process.env["VERBATIM_URL"]}/api/v1`;
const phone = Phone.open({ api, store: new MemoryStore() });
const begun = await phone.begin();

const connection = new AgentConnection({
  phone,
  verbatim: new Verbatim({ api }),
  settings: { type: "Settings", audio: {}, agent: { greeting: "Hello!" } },
  onEvent({ type }) {
    if (type === "ConversationText") connection.send({ type: "ForceEndTurn" });
    if (type === "FunctionCallRequest") {
      connection.send({ type: "FunctionCallResponse", id: "call-1", name: "clock", content: "half past nine" });
    }
  },
  // A browser sends its token as a sub-protocol.
  ...(process.env["BROWSER"] && { open: (url, token) => new WebSocket(url, ["bearer", token]) }),
});
await connection.run();
console.log(JSON.stringify({ conversation: begun.conversation_id, receipt: await phone.end("hangup") }));
