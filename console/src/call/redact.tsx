import { useState } from "preact/hooks";
import type { MessageResponse } from "../../../clients/typescript/src/types.ts";
import { ask } from "../api.ts";
import { Confirm } from "../parts/dialog.tsx";
import { Problem } from "../parts/problem.tsx";
import { rangesOf } from "./ranges.ts";

interface Props {
  message: MessageResponse;
  onRedacted: (message: MessageResponse) => void;
}

/** Takes words out of a message, after a question. */
export function Redact(props: Props) {
  const [asking, setAsking] = useState(false);
  return (
    <>
      <button type="button" class="quiet" onClick={() => setAsking(true)}>
        Redact …
      </button>
      {asking && <Question {...props} onClose={() => setAsking(false)} />}
    </>
  );
}

function Question({ message, onRedacted, onClose }: Props & { onClose: () => void }) {
  const [reason, setReason] = useState("");
  const [words, setWords] = useState("");
  const [error, setError] = useState<unknown>();
  const confirmed = async () => {
    try {
      const body = { reason, ranges: words ? rangesOf(message.content, words) : null };
      onRedacted(await ask((api) => api.redactMessage(message.conversation_id, message.id, body)));
      onClose();
    } catch (caught) {
      setError(caught);
    }
  };
  return (
    <Confirm title="Redact this message?" does="Redact it" onConfirm={() => void confirmed()} onClose={onClose}>
      <p>The words are taken out for good. The message keeps its place.</p>
      <p>
        <label>
          Reason, which every reader sees <input value={reason} maxLength={255} onInput={(event) => setReason(event.currentTarget.value)} />
        </label>
      </p>
      <p>
        <label>
          Only these words; all if empty <input value={words} onInput={(event) => setWords(event.currentTarget.value)} />
        </label>
      </p>
      {error !== undefined && <Problem error={error} />}
    </Confirm>
  );
}
