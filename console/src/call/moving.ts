/** The keys that move over the lines of a transcript. */
import { announce } from "../announce.ts";
import { useKeys } from "../keys.ts";
import type { Reader } from "./reader.ts";
import { toggle } from "./transcript.tsx";

/** Registers the keys of a call; `reader` is undefined while it does not go on, so that there is nothing to pause. */
export function useCallKeys(reader: Reader | undefined): void {
  useKeys("This call", {
    n: { does: "Next turn of the user", press: () => move("[data-user]", 1, "turn of the user") },
    p: { does: "Turn of the user before", press: () => move("[data-user]", -1, "turn of the user") },
    i: { does: "Next interruption", press: () => move("[data-interrupted]", 1, "interruption") },
    f: { does: "Next function call", press: () => move("[data-call]", 1, "function call") },
    e: { does: "Next incident", press: () => move("[data-incident]", 1, "incident") },
    l: { does: "Latencies as a table", press: openLatencies },
    d: { does: "Details", press: () => focus(document.getElementById("details")) },
    ...(reader && { ".": { does: "Pause what is being said, or go on", press: () => toggle(reader) } }),
  });
}

function move(which: string, by: 1 | -1, name: string): void {
  const rows = [...document.querySelectorAll<HTMLElement>(".turns > li")];
  const here = rows.findIndex((row) => row.contains(document.activeElement));
  const found = by > 0 ? rows.slice(here + 1) : rows.slice(0, Math.max(0, here)).reverse();
  const row = found.find((each) => each.matches(which));
  if (row) focus(row);
  else announce(`No further ${name} in this part of the call`);
}

function openLatencies(): void {
  const table = document.querySelector<HTMLDetailsElement>("#latency details");
  if (!table) return;
  table.open = true;
  focus(table.querySelector("summary"));
}

function focus(element: HTMLElement | null): void {
  element?.focus({ preventScroll: true });
  element?.scrollIntoView({ block: element.matches("li") ? "center" : "start" });
}
