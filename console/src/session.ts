/**
 * Who reads: the token is held in a variable of this module, and nowhere else.
 *
 * A service without authentication never answers 401, so that no token is asked for. Otherwise the first 401 opens the
 * sign-in over the page, and what was refused waits in `signedIn` and is then asked again.
 */
import { signal } from "@preact/signals";

let token = "";
let waiting = Promise.withResolvers<void>();

/** Why a token is asked for, undefined while none is. */
export const asked = signal<"missing" | "refused" | undefined>(undefined);

/** Whether a token is held, which can be forgotten. */
export const held = signal(false);

export function currentToken(): string {
  return token;
}

/** Resolves once a token was given, after the sign-in was opened. */
export function askForToken(): Promise<void> {
  asked.value ??= token ? "refused" : "missing";
  return waiting.promise;
}

/** Resolves at once unless a token is being asked for. */
export function ready(): Promise<void> | undefined {
  return asked.value && waiting.promise;
}

/** What a header can hold: the pattern of a token in a form, with the spaces that a paste brings. */
export const PATTERN = "\\s*[!-~]+\\s*";

export function signIn(given: string): void {
  token = given.trim();
  held.value = token !== "";
  asked.value = undefined;
  waiting.resolve();
  waiting = Promise.withResolvers();
}

/** Forgets the token, and all that was read with it. */
export function signOut(): void {
  location.reload();
}
