// Starts the service on files, and on a bucket where the environment names one, and runs a command against each:
//
//   OVERSIDE_BINARY=target/debug/overside node clients/js/scripts/with-servers.js npm test
//
// The store comes from `scripts/test-servers start FOLDER seaweedfs`, whose output is the environment. The bucket is made here.
import { execFileSync, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const { OVERSIDE_BINARY: binary, OVERSIDE_TEST_SEAWEEDFS: endpoint, AWS_REGION: region = "us-east-1" } = process.env;
const command = process.argv.slice(2);
if (binary === undefined || command.length === 0) {
  console.error("usage: OVERSIDE_BINARY=FILE node with-servers.js COMMAND...");
  process.exit(2);
}

const USERNAME = "admin";
const PASSWORD = "only-for-this-test";
/** So short that a test can wait for its end, and long enough for a body to begin. */
const URL_LIFETIME = "2s";
/** The smallest that a store takes. */
const PART_SIZE = "5MiB";

async function withServer(name, storage, run) {
  const folder = await mkdtemp(join(tmpdir(), "overside-js-"));
  const flags = ["--auth", "token", "--url-lifetime", URL_LIFETIME, "--part-size", PART_SIZE, "--cors-origin", "*", "--listen", "127.0.0.1:0"];
  const server = spawn(resolve(binary), ["serve", ...flags, ...storage(folder)], {
    cwd: folder,
    env: { ...process.env, OVERSIDE_ADMIN_PASSWORD: PASSWORD, OVERSIDE_DATABASE: `sqlite://${join(folder, "overside.db")}` },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = new Promise((done) => server.once("exit", done));
  const log = [];
  try {
    const url = await new Promise((found, failed) => {
      for (const stream of [server.stdout, server.stderr]) {
        createInterface(stream).on("line", (line) => {
          log.push(line);
          const address = /^listening on (\S+)/.exec(line)?.[1];
          if (address !== undefined) found(address);
        });
      }
      void ended.then(() => failed(new Error(`the server on ${name} did not start:\n${log.join("\n")}`)));
    });
    return await run(url);
  } finally {
    server.kill("SIGTERM");
    await ended;
    await rm(folder, { recursive: true });
  }
}

/** A bucket with the rule that docs/javascript.md names. `curl` signs, so that nothing else has to be installed for it. */
function makeBucket(name) {
  const curl = (path, ...body) => {
    const signed = ["--aws-sigv4", `aws:amz:${region}:s3`, "--config", "-", "-sS", "--fail-with-body", "-X", "PUT"];
    const input = `user = "${process.env.AWS_ACCESS_KEY_ID}:${process.env.AWS_SECRET_ACCESS_KEY}"`;
    execFileSync("curl", [...signed, `${endpoint}/${name}${path}`, ...body], { input, stdio: ["pipe", "ignore", "inherit"] });
  };
  const methods = ["GET", "HEAD", "PUT"].map((method) => `<AllowedMethod>${method}</AllowedMethod>`).join("");
  const rest = "<AllowedHeader>*</AllowedHeader><ExposeHeader>ETag</ExposeHeader>";
  const rule = `<CORSRule><AllowedOrigin>*</AllowedOrigin>${methods}${rest}</CORSRule>`;
  curl("");
  // Some versions of curl sign another body than they send.
  curl("?cors=", "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "-H", "content-type: application/xml", "--data-binary", `<CORSConfiguration>${rule}</CORSConfiguration>`);
}

async function makeProject(url) {
  const authorization = `Basic ${Buffer.from(`${USERNAME}:${PASSWORD}`).toString("base64")}`;
  const headers = { authorization, "content-type": "application/json" };
  const answer = await fetch(`${url}/api/v2.0/projects`, { method: "POST", headers, body: '{"project_name":"team"}' });
  if (answer.status !== 201) throw new Error(`no project was made: ${answer.status}`);
}

function run(name, url, store) {
  console.error(`== ${name}`);
  const env = {
    ...process.env,
    OVERSIDE_TEST_URL: url,
    OVERSIDE_TEST_STORE: store ?? url,
    OVERSIDE_TEST_REPOSITORY: "team/js",
    OVERSIDE_TEST_USERNAME: USERNAME,
    OVERSIDE_TEST_PASSWORD: PASSWORD,
  };
  const child = spawn(command[0], command.slice(1), { env, stdio: "inherit" });
  return new Promise((done, failed) => child.once("exit", (code) => done(code ?? 1)).once("error", failed));
}

const stores = [["files", (folder) => ["--storage", `file://${join(folder, "store")}`]]];
if (endpoint !== undefined) {
  const bucket = `js-${process.pid}`;
  makeBucket(bucket);
  stores.push(["a bucket", () => ["--storage", `s3://${bucket}`, "--s3-endpoint", endpoint, "--s3-path-style"]]);
}
for (const [name, storage] of stores) {
  const code = await withServer(name, storage, async (url) => {
    await makeProject(url);
    return run(name, url, name === "files" ? undefined : endpoint);
  });
  if (code !== 0) process.exitCode = code;
}
