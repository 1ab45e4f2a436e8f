/** Fills the array with random bytes from a source that nobody can predict, and returns it. */
export type Random = (array: Uint8Array<ArrayBuffer>) => unknown;

/** Returns the platform's source of random bytes; throws if there is none, as in React Native. */
export function platformRandom(): Random {
  const source = globalThis.crypto as Crypto | undefined;
  if (!source) throw new TypeError("There is no `crypto` here: pass `random`.");
  return (array) => source.getRandomValues(array);
}

/** Returns a random UUID (RFC 9562, version 4). */
export function uuid(random: Random): string {
  const bytes = new Uint8Array(16);
  random(bytes);
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** Returns a number from 0 (inclusive) to 1 (exclusive), one of 256. */
export function fraction(random: Random): number {
  const bytes = new Uint8Array(1);
  random(bytes);
  return bytes[0]! / 256;
}
