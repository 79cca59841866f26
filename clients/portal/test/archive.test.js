// What is read of archives, without a browser: the sources are bundled for Node.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { build } from "esbuild";

const folder = mkdtempSync(join(tmpdir(), "overside-portal-"));
after(() => rmSync(folder, { recursive: true }));
const outfile = join(folder, "archive.mjs");
await build({ entryPoints: ["src/upload/archive.ts"], outfile, bundle: true, format: "esm", platform: "node" });
const { make, plan } = await import(outfile);

/** An archive as `tar` makes it of these files. */
function tar(files, ...flags) {
  const root = mkdtempSync(join(folder, "root-"));
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(root, name, ".."), { recursive: true });
    if (Object.hasOwn(content, "link")) symlinkSync(content.link, join(root, name));
    else writeFileSync(join(root, name), content);
  }
  const file = join(root, "archive.tar");
  execFileSync("tar", ["-C", root, ...flags, "-cf", file, ...Object.keys(files)]);
  const name = flags.includes("-z") ? "archive.tar.gz" : "archive.tar";
  return new File([readFileSync(file)], name);
}

const LONG = `${"long".repeat(40)}/layer.tar`;
const SAVED = {
  "config.json": "{}",
  [LONG]: "a layer",
  "linked/layer.tar": { link: `../${LONG}` },
  "packed.tar": new Uint8Array([0x1f, 0x8b, 0, 0]),
  "manifest.json": JSON.stringify([{ Config: "config.json", RepoTags: ["host:5000/team/app:v1"], Layers: [LONG, "linked/layer.tar", "packed.tar"] }]),
};

test("an image of docker save becomes a manifest of its layers as they are", async () => {
  for (const flags of [["--format=gnu"], ["--format=pax"], ["--format=gnu", "-z"]]) {
    const [image, ...others] = await plan([tar(SAVED, ...flags)]);
    assert.equal(others.length, 0);
    assert.equal(image.name, "host:5000/team/app:v1");
    const [first, linked, packed, config] = image.parts;
    assert.equal(await first.content.text(), "a layer");
    assert.equal(await linked.content.text(), "a layer");
    assert.equal(packed.mediaType, "application/vnd.oci.image.layer.v1.tar+gzip");
    const digests = new Map(image.parts.map((part) => [part, `sha256:${part.name}`]));
    const manifest = JSON.parse(make(image.documents[0], digests));
    assert.deepEqual(manifest.layers.map(({ size }) => size), [7, 7, 4]);
    assert.equal(manifest.config.digest, `sha256:${config.name}`);
  }
});

test("an OCI layout keeps its manifests, each after what it names", async () => {
  const place = (digest) => `blobs/${digest.replace(":", "/")}`;
  const manifest = { config: { digest: "sha256:c", mediaType: "c" }, layers: [{ digest: "sha256:l", mediaType: "l" }] };
  const index = { manifests: [{ digest: "sha256:m", mediaType: "m" }, { digest: "sha256:elsewhere", mediaType: "m" }] };
  const root = { digest: "sha256:i", mediaType: "i", annotations: { "org.opencontainers.image.ref.name": "v2" } };
  const [image] = await plan([
    tar({
      "oci-layout": "{}",
      "index.json": JSON.stringify({ manifests: [root] }),
      [place("sha256:i")]: JSON.stringify(index),
      [place("sha256:m")]: JSON.stringify(manifest),
      [place("sha256:c")]: "{}",
      [place("sha256:l")]: "layer",
    }),
  ]);
  assert.deepEqual(image.documents.map(({ digest }) => digest), ["sha256:m", "sha256:i"]);
  assert.deepEqual(image.parts.map(({ digest }) => digest), ["sha256:l", "sha256:c"]);
  assert.equal(image.name, "v2");
});

test("other files are an artifact, and what is broken says what is wrong", async () => {
  // As a browser gives files of a folder, and others.
  const file = (name, webkitRelativePath) => Object.assign(new File(["1"], name), { webkitRelativePath });
  const [artifact] = await plan([file("model.bin", ""), file("b.txt", "folder/deep/b.txt")]);
  assert.deepEqual(artifact.documents[0].layers.map(({ name }) => name), ["model.bin", "deep/b.txt"]);
  const whole = tar(SAVED);
  await assert.rejects(plan([new File([whole.slice(0, 1_000)], "a.tar")]), /cut off/);
  await assert.rejects(plan([new File([new Uint8Array(2_000).fill(65)], "a.tar")]), /no tar archive/);
  // A size below zero would lead back to its own header, for ever.
  const bytes = new Uint8Array(await whole.arrayBuffer());
  bytes.set(new TextEncoder().encode("-1000\0      "), 124);
  bytes.fill(32, 148, 156);
  const sum = bytes.subarray(0, 512).reduce((sum, byte) => sum + byte, 0);
  bytes.set(new TextEncoder().encode(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
  await assert.rejects(plan([new File([bytes], "a.tar")]), /cut off/);
  await assert.rejects(plan([tar({ ...SAVED, "manifest.json": JSON.stringify([{ Config: "gone.json" }]) })]), /lacks gone.json/);
});
