/** The language of what was said, for the voice and the glyphs with which it is rendered. */
import type { MessageResponse } from "../../../clients/typescript/src/types.ts";

const TAG = /^[a-z]{2,3}(-[a-z0-9]{2,8})*$/i;
const ENOUGH = 300; // characters that are looked at
const KANA = /[\p{Script=Hiragana}\p{Script=Katakana}]/u;
// Scripts that one language writes, or of which one is by far the most frequent.
const SCRIPTS: readonly (readonly [RegExp, string])[] = [
  [/\p{Script=Thai}/u, "th"],
  [/\p{Script=Hangul}/u, "ko"],
  [/\p{Script=Arabic}/u, "ar"],
  [/\p{Script=Hebrew}/u, "he"],
  [/\p{Script=Greek}/u, "el"],
  [/[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/u, "zh"],
];

/** Returns the tag that the message names, or that of the script of most of its letters; "" is an unknown language. */
export function languageOf({ content, metadata }: MessageResponse): string {
  const named = metadata["languages"];
  if (Array.isArray(named) && named.length === 1 && typeof named[0] === "string" && TAG.test(named[0])) return named[0];
  const letters = content.slice(0, ENOUGH).match(/\p{Letter}/gu) ?? [];
  const most = SCRIPTS.find(([script]) => letters.filter((letter) => script.test(letter)).length * 2 > letters.length);
  return most?.[1] === "zh" && letters.some((letter) => KANA.test(letter)) ? "ja" : (most?.[1] ?? "");
}
