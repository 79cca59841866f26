// The built files in Chromium, on a page of another origin than the service and the bucket, under a strict policy.
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { bytes, folder, MIB, password, repository, sha256, url, username } from "./support.js";

const store = process.env.OVERSIDE_TEST_STORE ?? url;
const service = { url, username, password, repository };
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const POLICY = `default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; img-src data:; connect-src ${url} ${store}`;
/** Without the worker: what somebody sees who forgot it. */
const NO_WORKER = POLICY.replace("worker-src 'self'", "worker-src 'none'");
const FILES = { "/": "test/browser/index.html", "/page.js": "test/browser/page.js", "/no-worker": "test/browser/index.html" };

let site;
let browser;

before(async () => {
  site = createServer(async ({ url: asked }, answer) => {
    const path = FILES[asked] ?? asked.slice(1);
    const type = path.endsWith(".html") ? "text/html" : "text/javascript";
    const body = /^(test\/browser\/|dist\/)[\w.-]+$/.test(path) ? await readFile(path).catch(() => undefined) : undefined;
    const policy = asked === "/no-worker" ? NO_WORKER : POLICY;
    answer.writeHead(body === undefined ? 404 : 200, { "content-type": type, "content-security-policy": policy });
    answer.end(body);
  });
  await new Promise((done) => site.listen(0, "127.0.0.1", done));
  const executablePath = process.env.OVERSIDE_TEST_CHROMIUM ?? "/usr/bin/chromium";
  browser = await chromium.launch({ executablePath, args: FLAGS, headless: true });
});

after(async () => {
  await browser?.close();
  site.close();
});

/** A page with a chosen file, and what it has sent to the store. */
async function open(path, file) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const seen = { workers: [], puts: 0, stored: 0, most: 0, console: [] };
  const isBody = (request) => request.method() === "PUT" && !request.url().includes("/blobs/uploads/");
  page.on("worker", (worker) => seen.workers.push(new URL(worker.url()).pathname));
  page.on("request", (request) => {
    if (isBody(request)) seen.most = Math.max(seen.most, ++seen.puts - seen.stored);
  });
  page.on("response", (answer) => void (isBody(answer.request()) && answer.ok() && seen.stored++));
  page.on("console", (message) => seen.console.push(message.text()));
  page.on("pageerror", (error) => seen.console.push(String(error)));
  const load = async () => {
    await page.goto(`http://127.0.0.1:${site.address().port}${path}`);
    await page.waitForFunction(() => window.overside !== undefined);
    await page.setInputFiles("input", file);
  };
  await load();
  return { page, seen, load, context };
}

async function newFile(name, size) {
  const data = bytes(size);
  const path = join(folder, name);
  await writeFile(path, data);
  return { path, digest: sha256(data), size };
}

const upload = (page, options = {}) => page.evaluate((all) => window.overside.upload(all), { ...service, ...options });

function assertMonotone(progress, total) {
  assert.deepEqual(progress.at(-1), { sent: total, hashed: total, total });
  for (const [index, event] of progress.entries()) {
    const last = progress[index - 1] ?? { sent: 0, hashed: 0 };
    assert.ok(event.sent >= last.sent && event.hashed >= last.hashed, `it went back at ${index}`);
  }
}

test("a page under a strict policy uploads and downloads a file, and hashes it in a worker", async () => {
  const file = await newFile("small", 5 * MIB);
  const { page, seen, context } = await open("/", file.path);
  const { result, error } = await upload(page);
  assert.equal(error, undefined, JSON.stringify([error, seen]));
  assert.deepEqual([result.digest, result.size], [file.digest, file.size]);
  assert.deepEqual([seen.workers, seen.puts], [["/dist/worker.js"], 1]);
  const noted = await page.evaluate(() => window.overside.noted);
  assert.deepEqual(noted.violations, []);
  assertMonotone(noted.progress, file.size);
  const downloaded = await page.evaluate((all) => window.overside.download(all), { ...service, digest: file.digest });
  assert.equal(downloaded, file.size);
  await context.close();
});

test("a page that is reloaded in the middle goes on where it was", async () => {
  const file = await newFile("large", 22 * MIB);
  const { page, seen, load, context } = await open("/", file.path);
  // So slow that there is a middle: a part in half a second.
  const network = await context.newCDPSession(page);
  const speed = (uploadThroughput) =>
    network.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput });
  await network.send("Network.enable");
  await speed(10 * MIB);
  const stopped = upload(page, { mode: "multipart", concurrency: 1 }).catch(() => "reloaded");
  while (seen.stored === 0) await new Promise((done) => setTimeout(done, 10));
  await load();
  assert.equal(await stopped, "reloaded");
  await speed(-1);
  const [stored, puts] = [seen.stored, seen.puts];
  assert.ok(stored >= 1 && stored < 5, `${stored} of 5 parts had arrived`);

  const { result, error } = await upload(page);
  assert.equal(error, undefined, JSON.stringify([error, seen]));
  assert.equal(result.digest, file.digest);
  assert.equal(seen.puts - puts, 5 - stored);
  const { progress } = await page.evaluate(() => window.overside.noted);
  assert.ok(progress.some(({ sent }) => sent % MIB !== 0), "progress within a part");
  assertMonotone(progress, file.size);
  await context.close();
});

test("a page sends no more bodies at once than its browser has connections", async () => {
  const file = await newFile("many", 40 * MIB);
  const { page, seen, context } = await open("/", file.path);
  const { result, error } = await upload(page, { mode: "multipart", concurrency: 8 });
  assert.equal(error, undefined, JSON.stringify([error, seen]));
  assert.equal(result.digest, file.digest);
  assert.deepEqual([seen.stored, seen.most], [8, 5]);
  await context.close();
});

test("a worker that may not be started is told as what it is, too", async () => {
  const file = await newFile("elsewhere", MIB);
  const { page, context } = await open("/", file.path);
  const { error } = await upload(page, { workerUrl: "http://elsewhere.example/worker.js" });
  assert.equal(error.code, "NO_WORKER", JSON.stringify(error));
  await context.close();
});

test("a policy that lets no worker run is told as what it is", async () => {
  const file = await newFile("blocked", MIB);
  const { page, context } = await open("/no-worker", file.path);
  const { error } = await upload(page);
  assert.equal(error.code, "NO_WORKER");
  assert.match(error.message, /worker that hashes did not start.*workerUrl/);
  await context.close();
});

test("a file that changed since it was chosen is told", async () => {
  const file = await newFile("changed", 5 * MIB);
  const { page, context } = await open("/", file.path);
  await writeFile(file.path, bytes(6 * MIB));
  const { error } = await upload(page);
  assert.equal(error.code, "FILE_CHANGED", JSON.stringify(error));
  await context.close();
});
