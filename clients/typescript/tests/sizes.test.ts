/** What an app loads of the package is small: bundled and minified by esbuild, then compressed by gzip. */
import { buildSync } from "esbuild";
import assert from "node:assert/strict";
import test from "node:test";
import { gzipSync } from "node:zlib";

const PHONE = 5.5 * 1024;
const READING = 5 * 1024;
const STORE = 1024;

/** Returns the bytes of an app that imports `name` from `module` and nothing else. */
function size(name: string, module: string): number {
  const built = buildSync({
    stdin: { contents: `export { ${name} } from "${module}";`, resolveDir: import.meta.dirname },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    external: ["node:*", "expo-sqlite"],
    write: false,
  });
  return gzipSync(built.outputFiles[0]!.contents, { level: 9 }).length;
}

function assertSmall(t: test.TestContext, bytes: number, most: number): void {
  t.diagnostic(`${bytes} bytes`);
  assert.ok(bytes <= most, `${bytes} bytes are more than ${most}.`);
}

test("a phone has 5.5 kB at most", (t) => assertSmall(t, size("Phone", "verbatim-record"), PHONE));

// An app takes what it imports, so a phone does not carry what reads.
test("what reads has 5 kB at most", (t) => assertSmall(t, size("Verbatim, pages", "verbatim-record"), READING));

test("the connection to Deepgram has 2 kB at most", (t) => {
  assertSmall(t, size("AgentConnection", "verbatim-record/deepgram"), 2 * STORE);
});

for (const [name, path] of [
  ["MemoryStore", ""],
  ["ExpoStore", "/expo"],
  ["AsyncStorageStore", "/async-storage"],
  ["IndexedDbStore", "/indexeddb"],
  ["NodeStore", "/node"],
]) {
  test(`${name} has 1 kB at most`, (t) => assertSmall(t, size(name!, `verbatim-record${path}`), STORE));
}
