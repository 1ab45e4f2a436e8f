/**
 * The keys of the console. A page registers its own with `useKeys`; the help (`?`) shows what is registered.
 *
 * A key is one character or name of `KeyboardEvent.key`, or two characters with a space between, pressed one after the
 * other. Keys do nothing while the reader types, with Ctrl, Alt or Meta, and while they are switched off (WCAG 2.1.4).
 */
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

export interface Key {
  /** What it does, for the help. */
  does: string;
  /** Left out for a key that the browser itself serves, and that is only to be listed. */
  press?: () => void;
}

export type Keys = Readonly<Record<string, Key>>;

interface Group {
  readonly title: string;
  readonly keys: Keys;
}

const STORED = "verbatim-keys"; // "off" in the storage of the browser
const SEQUENCE = 1500; // milliseconds in which the second key of two must follow

export const groups = signal<readonly Group[]>([]);
export const enabled = signal(stored() !== "off");
let first = { key: "", at: 0 };

/**
 * Registers keys while the calling component is on the page; the last registered wins.
 *
 * With `everywhere` those of a page win, even if the page was there before.
 */
export function useKeys(title: string, keys: Keys, { everywhere = false } = {}): void {
  const latest = useRef(keys); // they close over what was rendered last
  latest.current = keys;
  useEffect(() => {
    const group: Group = {
      title,
      get keys() {
        return latest.current;
      },
    };
    groups.value = everywhere ? [group, ...groups.value] : [...groups.value, group];
    return () => {
      groups.value = groups.value.filter((other) => other !== group);
    };
  }, [title]);
}

export function setEnabled(on: boolean): void {
  enabled.value = on;
  try {
    localStorage.setItem(STORED, on ? "on" : "off");
  } catch {
    // A browser without storage forgets the choice.
  }
}

function stored(): string | null {
  try {
    return localStorage.getItem(STORED);
  } catch {
    return null;
  }
}

function onKey(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
  if (isTyping(event.target)) {
    if (event.key === "Escape") (event.target as HTMLElement).blur();
    return;
  }
  if (!enabled.value || document.querySelector("dialog[open]")) return;
  const both = event.timeStamp - first.at < SEQUENCE ? `${first.key} ${event.key}` : "";
  first = { key: event.key, at: event.timeStamp };
  const press = find(both) ?? find(event.key);
  // A link or a button that has the focus keeps its own Enter.
  if (!press || (event.key === "Enter" && (event.target as Element).matches("a, button, summary"))) return;
  event.preventDefault();
  first = { key: "", at: 0 };
  press();
}

function find(key: string): (() => void) | undefined {
  return groups.value.findLast((group) => group.keys[key]?.press)?.keys[key]?.press;
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof Element && target.matches("input:not([type=checkbox]), textarea, select, [contenteditable]");
}

globalThis.addEventListener?.("keydown", onKey);
