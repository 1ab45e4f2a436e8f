/** Builds the console into the folder that the service serves. The same sources give the same bytes. */
import { build } from "esbuild";
import { readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";

const here = import.meta.dirname;
const folder = process.argv[2] ?? join(here, "..", "backend", "console", "static");

await rm(folder, { recursive: true, force: true });
const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: ["src/main.tsx", "src/style.css"],
  outdir: folder,
  entryNames: "[name]-[hash]",
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome123", "firefox121", "safari17.5"], // from which on `light-dark()` is known
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "eof",
  charset: "utf8",
  metafile: true,
});
let page = await readFile(join(here, "src", "index.html"), "utf8");
for (const [file, { entryPoint }] of Object.entries(metafile.outputs)) {
  if (entryPoint) page = page.replace(basename(entryPoint), basename(file));
}
await writeFile(join(folder, "index.html"), page);
