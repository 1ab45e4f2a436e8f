/** What a screen reader says without moving the focus. */
import { signal } from "@preact/signals";

export const announced = signal("");

/** Says `text` once what is being read aloud has ended. */
export function announce(text: string): void {
  announced.value = text;
}
