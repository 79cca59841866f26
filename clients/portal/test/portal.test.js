// The page in Chromium, as people use it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

function needed(name) {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: see README.md`);
  return value;
}

const url = needed("OVERSIDE_TEST_URL");
/** Has no project, and may make some. */
const user = { name: needed("OVERSIDE_TEST_USERNAME"), password: needed("OVERSIDE_TEST_PASSWORD") };
/** Is in no project. */
const other = { name: needed("OVERSIDE_TEST_OTHER"), password: user.password };
const FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const AXE = readFileSync("node_modules/axe-core/axe.min.js", "utf8");
/** For one step on a machine that is busy, in milliseconds. */
const LONGEST_WAIT = 90_000;
const PHONE = { width: 360, height: 740 };

const folder = mkdtempSync(join(tmpdir(), "overside-portal-"));
let browser;

before(async () => {
  browser = await chromium.launch({ executablePath: needed("OVERSIDE_TEST_CHROMIUM"), args: FLAGS });
});

after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true });
});

/** A window of its own, which notes what the browser complains of. */
async function open() {
  const context = await browser.newContext({ viewport: PHONE });
  context.setDefaultTimeout(LONGEST_WAIT);
  const page = await context.newPage();
  page.complaints = [];
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  page.on("console", (message) => {
    if (/Content.Security.Policy|Refused to/i.test(message.text())) page.complaints.push(message.text());
  });
  await page.goto(url);
  return page;
}

/** What an expression is in the page, by the debugger: the page's policy lets no text be run. */
async function run(page, expression) {
  const debuggers = await page.context().newCDPSession(page);
  const { result, exceptionDetails } = await debuggers.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
  await debuggers.detach();
  assert.equal(exceptionDetails, undefined);
  return result.value;
}

async function signIn(page, { name, password }) {
  await page.getByRole("link", { name: "Sign in" }).click();
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("button", { name: "Sign out" }).waitFor();
}

/** What is shown is for everybody, and fits on a phone. */
async function looksRight(page) {
  const width = await run(page, "document.scrollingElement.scrollWidth");
  assert.ok(width <= PHONE.width, `${page.url()} is ${width} wide`);
  await run(page, `${AXE};0`);
  const found = await run(page, "axe.run().then(({ violations }) => violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]))");
  assert.deepEqual(found, []);
}

/** What `docker save` writes, of one layer. */
function savedImage(name, layer) {
  writeFileSync(join(folder, "layer.tar"), layer);
  writeFileSync(join(folder, "config.json"), JSON.stringify({ architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [digestOf(layer)] } }));
  writeFileSync(join(folder, "manifest.json"), JSON.stringify([{ Config: "config.json", RepoTags: [name], Layers: ["layer.tar"] }]));
  const file = join(folder, "image.tar");
  execFileSync("tar", ["-C", folder, "-cf", file, "config.json", "layer.tar", "manifest.json"]);
  return file;
}

function digestOf(bytes) {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

test("somebody signs in, makes a project, uploads an image and signs out", async () => {
  const page = await open();
  await looksRight(page);
  await signIn(page, user);
  await page.getByLabel("Name").fill("shop");
  await page.getByRole("button", { name: "Create project" }).click();
  await page.getByRole("link", { name: "shop" }).click();
  await page.getByRole("heading", { name: "Upload" }).waitFor();
  await looksRight(page);

  const layer = randomBytes(3_000_000);
  await page.getByLabel("Files").setInputFiles(savedImage("registry.example/shop/app:v1", layer));
  const repository = page.getByLabel("Repository in shop");
  // The archive says what its image is called.
  while ((await repository.inputValue()) === "") await page.waitForTimeout(50);
  assert.deepEqual([await repository.inputValue(), await page.getByLabel("Tag").inputValue()], ["app", "v1"]);
  await page.getByRole("button", { name: "Upload" }).click();
  await page.getByText(/Done: sha256:[0-9a-f]{64}/).first().waitFor();
  await looksRight(page);
  await page.getByRole("link", { name: "shop/app" }).click();
  await page.getByRole("link", { name: "v1", exact: true }).click();
  await page.getByRole("heading", { name: "shop/app:v1" }).waitFor();
  await page.getByText("docker pull").waitFor();
  await looksRight(page);

  // A file comes from where the service leads.
  const saving = page.waitForEvent("download");
  await page.getByRole("link", { name: "application/vnd.oci.image.layer.v1.tar" }).click();
  assert.deepEqual(readFileSync(await (await saving).path()), layer);
  // The layer is there as it was in the archive.
  const headers = { accept: "application/vnd.oci.image.manifest.v1+json" };
  const found = await run(
    page,
    `fetch("v2/shop/app/manifests/v1", { headers: ${JSON.stringify(headers)} })
      .then((answer) => answer.json()).then(({ layers }) => layers.map(({ digest }) => digest))`,
  );
  assert.deepEqual(found, [digestOf(layer)]);
  // Nothing that a page of another site could send is taken.
  const status = await run(page, `fetch("v2/shop/app/blobs/uploads/", { method: "POST" }).then(({ status }) => status)`);
  assert.equal(status, 403);

  await page.getByRole("button", { name: "Close" }).click();

  await page.goto(`${url}/#/projects/shop/members`);
  await page.getByRole("textbox", { name: "User" }).fill(other.name);
  await page.getByLabel("Role", { exact: true }).selectOption("guest");
  await page.getByRole("button", { name: "Add member" }).click();
  await page.getByRole("button", { name: `Remove: ${other.name}` }).click();
  await page.getByRole("cell", { name: other.name, exact: true }).waitFor({ state: "detached" });
  await looksRight(page);
  await page.getByRole("link", { name: "robots" }).click();
  await page.getByRole("textbox", { name: "Name" }).fill("ci");
  await page.getByRole("button", { name: "Create robot" }).click();
  await page.getByText("shown once").waitFor();
  await looksRight(page);
  await page.getByRole("link", { name: "quota" }).click();
  await page.getByLabel("Most MiB").fill("100");
  await page.getByRole("button", { name: "Change limits" }).click();
  await page.getByRole("cell", { name: "100 MiB" }).waitFor();
  await looksRight(page);
  await page.getByRole("link", { name: "log" }).click();
  await page.getByRole("cell", { name: "robot", exact: true }).first().waitFor();
  await looksRight(page);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("link", { name: "Sign in" }).waitFor();
  assert.equal(await page.getByRole("link", { name: "shop" }).count(), 0);
  assert.deepEqual(page.complaints, []);
});

test("somebody else sees nothing of a private project, and a guest no way to upload", async () => {
  const page = await open();
  await signIn(page, other);
  assert.equal(await page.getByRole("link", { name: "shop" }).count(), 0);
  await page.goto(`${url}/#/projects/shop`);
  await page.getByRole("heading", { name: "Not found" }).waitFor();
  await looksRight(page);
  // What is no name is asked for nowhere, and in no command.
  for (const address of ["projects/..", "repositories/shop/../app", "tags/shop/app:v1%20;%20reboot", "tags/shop/../../x:v1", "%"]) {
    await page.goto(`${url}/#/`);
    await page.getByRole("heading", { name: "Projects" }).waitFor();
    await page.goto(`${url}/#/${address}`);
    await page.getByRole("heading", { name: "Not found" }).waitFor();
  }

  const authorization = `Basic ${btoa(`${user.name}:${user.password}`)}`;
  const headers = { authorization, "content-type": "application/json" };
  const body = JSON.stringify({ role_id: 3, member_user: { username: other.name } });
  const added = await fetch(`${url}/api/v2.0/projects/shop/members`, { method: "POST", headers, body });
  assert.equal(added.status, 201);
  await page.goto(`${url}/#/`);
  await page.reload();
  await page.getByRole("link", { name: "shop" }).click();
  await page.getByRole("link", { name: "shop/app" }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Upload" }).count(), 0);
  const refused = await run(
    page,
    `fetch("api/v2.0/users/current").then((known) => {
      const headers = { "x-harbor-csrf-token": known.headers.get("x-harbor-csrf-token") };
      return fetch("v2/shop/app/blobs/uploads/", { method: "POST", headers });
    }).then(({ status }) => status)`,
  );
  assert.equal(refused, 403);
});
