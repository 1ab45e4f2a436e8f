/** Returns where `words` stand in `content`: begin and end of each place, in code points, the end exclusive. */
export function rangesOf(content: string, words: string): [number, number][] {
  const pieces = content.split(words);
  const length = [...words].length;
  let reached = 0;
  return pieces.slice(0, -1).map((piece) => {
    const begin = reached + [...piece].length;
    reached = begin + length;
    return [begin, reached];
  });
}
