/** The time of day, for what is said to be so old. */
import { type ReadonlySignal, signal } from "@preact/signals";

const SECOND = 1000;

const ticking = signal(Date.now());
setInterval(() => document.visibilityState === "visible" && (ticking.value = Date.now()), SECOND);

/** Milliseconds since 1970, which change each second while the page is visible. */
export const now: ReadonlySignal<number> = ticking;
