/**
 * What d3-scale takes from d3-interpolate, for numbers alone; `build.ts` puts it in the place of that package.
 *
 * The package also interpolates colours, dates and texts, which no plot here does, and which cost 6.5 kB compressed.
 */
type Interpolator = (share: number) => number;

export function interpolateNumber(from: number, to: number): Interpolator {
  return (share) => from * (1 - share) + to * share;
}

export function interpolateRound(from: number, to: number): Interpolator {
  return (share) => Math.round(from * (1 - share) + to * share);
}

export { interpolateNumber as interpolate };

/** d3-scale imports it for scales that are not bundled. */
export function piecewise(): never {
  throw new Error("Scales here are of numbers.");
}
