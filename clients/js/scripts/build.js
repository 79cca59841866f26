// Builds `dist`: the modules with their types; and for pages without a bundler one file of them, and one of the worker.
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { build } from "esbuild";

process.chdir(new URL("..", import.meta.url).pathname);
rmSync("dist", { recursive: true, force: true });
execFileSync("node_modules/.bin/tsc", { stdio: "inherit" });
const options = { bundle: true, minify: true, format: "esm", target: "es2022", platform: "browser", legalComments: "inline" };
await build({ ...options, entryPoints: ["dist/index.js"], outfile: "dist/bundle.js" });
await build({ ...options, entryPoints: ["dist/worker.js"], outfile: "dist/worker.js", allowOverwrite: true });
