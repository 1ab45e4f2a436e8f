import { useState } from "preact/hooks";
import { isPassing, ProblemError, TransportError } from "../api.ts";

/** Why something could not be read or done: what happened, what the reader can do, and the request's id to copy. */
export function Problem({ error, again }: { error: unknown; again?: (() => void) | undefined }) {
  const { title, advice, request } = explain(error);
  return (
    <section class="problem" role="alert">
      <h2>{title}</h2>
      <p>{advice}</p>
      <p class="actions">
        {again && (
          <button type="button" onClick={again}>
            Try again
          </button>
        )}
        {request && <Copy text={request} label={`Copy request id ${request}`} />}
      </p>
    </section>
  );
}

/** A button that copies `text`, and says that it has. */
export function Copy({ text, label }: { text: string; label: string }) {
  const [copied, setCopied] = useState(false);
  const copy = () => navigator.clipboard?.writeText(text).then(() => setCopied(true), () => setCopied(false));
  return (
    <button type="button" class="quiet" onClick={copy}>
      <span aria-live="polite">{copied ? "Copied" : label}</span>
    </button>
  );
}

interface Explanation {
  title: string;
  advice: string;
  request?: string;
}

function explain(error: unknown): Explanation {
  if (error instanceof ProblemError) {
    const { title, detail, request_id } = error.problem;
    if (error.is("conversation-not-found"))
      return { title: "No such call", advice: "There is no call with this id, or it is not yours.", request: request_id };
    if (error.is("conversation-erased"))
      return { title: "This call was erased", advice: "What was said in it is gone, and cannot be brought back.", request: request_id };
    return { title, advice: isPassing(error) ? `${detail} The page goes on trying.` : detail, request: request_id };
  }
  if (error instanceof TransportError)
    return { title: "No answer", advice: "The service cannot be reached. Check that it runs; the page goes on trying." };
  return { title: "Something went wrong", advice: error instanceof Error ? error.message : "Load the page again." };
}
