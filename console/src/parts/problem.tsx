import { useState } from "preact/hooks";
import { isPassing, ProblemError, TransportError } from "../api.ts";
import { sentenceOf } from "./faults.ts";

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
    if (error.is("invalid"))
      return { title: "This cannot be asked", advice: error.problem.errors.map(sentenceOf).join(" "), request: request_id };
    if (error.is("scope-missing"))
      return { title: "Not with this token", advice: `${detail} The command “verbatim console” makes one for operators.`, request: request_id };
    if (error.is("search-too-slow"))
      return { title, advice: "Add a word that is rarer or a filter, and leave out “*”: asked again, it takes as long again.", request: request_id };
    if (error.is("search-disabled"))
      return { title, advice: "The operator has set VERBATIM_SEARCH=false. The list of calls can be filtered all the same.", request: request_id };
    return { title, advice: isPassing(error) ? `${detail} The page goes on trying.` : detail, request: request_id };
  }
  if (error instanceof TransportError)
    return { title: "No answer", advice: "The service cannot be reached. Check that it runs; the page goes on trying." };
  return { title: "Something went wrong", advice: error instanceof Error ? error.message : "Load the page again." };
}
