/** What is wrong with a request, in the words of the page that sent it. */
import type { InputFault } from "../../../clients/typescript/src/types.ts";

const NAMES: Readonly<Record<string, string>> = {
  accents: "Accents",
  context_type: "About",
  conversation_id: "Call",
  cursor: "The page",
  intent: "Intent",
  q: "The search",
  role: "Role",
  since: "From",
  state: "State",
  until: "Until",
  user_id: "Who",
};

/** Returns a sentence for a fault, which begins with what the page calls the parameter. */
export function sentenceOf({ pointer, detail }: InputFault): string {
  const name = pointer.split("/").at(-1) ?? "";
  return `${NAMES[name] ?? name} ${detail}${detail.endsWith(".") ? "" : "."}`;
}
