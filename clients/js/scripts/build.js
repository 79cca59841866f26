// Builds `dist`: the modules with their types; and for pages without a bundler one file of them, and one of the worker.
import { execFileSync } from "node:child_process";
import { copyFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
rmSync("dist", { recursive: true, force: true });
execFileSync("node_modules/.bin/tsc", { stdio: "inherit" });
// What is bundled brings its licence along.
copyFileSync("node_modules/hash-wasm/LICENSE", "dist/hash-wasm.LICENSE.txt");
copyFileSync("../../LICENSE", "dist/LICENSE.txt");
const banner = { js: "/*! Apache-2.0, see LICENSE.txt; with hash-wasm, MIT, see hash-wasm.LICENSE.txt */" };
const options = { bundle: true, minify: true, format: "esm", target: "es2022", platform: "browser", banner };
await build({ ...options, entryPoints: ["dist/index.js"], outfile: "dist/bundle.js" });
await build({ ...options, entryPoints: ["dist/worker.js"], outfile: "dist/worker.js", allowOverwrite: true });
