import { announce } from "../announce.ts";
import { useKeys } from "../keys.ts";

const LINKS = "main a[data-row]";

/**
 * Lets `j` and `k` move the focus over the links of rows, `<a data-row>`; Enter then opens one, as it opens a link.
 *
 * On a page that says what `wrong` is, `e` moves to the next row that has something marked as bad.
 */
export function useRows(wrong?: string): void {
  useKeys("Rows", {
    j: { does: "Next row", press: () => move(1) },
    k: { does: "Row before", press: () => move(-1) },
    Enter: { does: "Open the row" },
    ...(wrong !== undefined && { e: { does: `Next ${wrong}`, press: () => move(1, isBad) || announce(`No further ${wrong}`) } }),
  });
}

/** Moves to the next row that fits, or to the one before; returns whether there is one. */
function move(by: 1 | -1, fits: (link: HTMLElement) => boolean = () => true): boolean {
  const links = [...document.querySelectorAll<HTMLElement>(LINKS)];
  const here = links.findIndex((link) => link === document.activeElement);
  const next = by > 0 ? links.slice(here + 1).find(fits) : links.slice(0, here < 0 ? links.length : here).findLast(fits);
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
  return next !== undefined;
}

function isBad(link: HTMLElement): boolean {
  return link.closest("tr")?.querySelector(".bad") !== null;
}
