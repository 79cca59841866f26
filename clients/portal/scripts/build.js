// Builds the page into the folder that the service embeds, or into another one: `node scripts/build.js [FOLDER]`. The same
// sources make the same files.
import { copyFileSync, mkdirSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const given = process.argv[2] && resolve(process.argv[2]);
process.chdir(fileURLToPath(new URL("..", import.meta.url)));
const folder = given ?? "../../src/http/portal/built";
mkdirSync(folder, { recursive: true });
await build({
  entryPoints: { portal: "src/main.ts", worker: "../js/src/worker.ts" },
  outdir: folder,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  platform: "browser",
  // The client is built from its sources, with this folder's copy of what it depends on.
  alias: { "#platform": resolve("../js/src/platform-browser.ts") },
  nodePaths: [resolve("node_modules")],
  legalComments: "none",
  banner: { js: "/*! Overside, Apache-2.0; with hash-wasm, MIT: see hash-wasm.LICENSE.txt */" },
});
await build({ entryPoints: ["src/portal.css"], outdir: folder, minify: true, target: ["chrome119", "firefox124", "safari17.4"] });
// What is bundled brings its licence along.
copyFileSync("node_modules/hash-wasm/LICENSE", `${folder}/hash-wasm.LICENSE.txt`);
for (const name of ["index.html", "icon.svg"]) copyFileSync(`src/${name}`, `${folder}/${name}`);
