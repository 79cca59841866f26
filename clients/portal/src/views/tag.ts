import { BASE } from "../api.js";
import { h, size, table } from "../dom.js";
import { isDigest } from "../names.js";
import { manifest, referrers, sizeOf, type Descriptor } from "../registry.js";
import { kindOf } from "./repository.js";

const TITLE = "org.opencontainers.image.title";

/** A tag, or a manifest by its digest. */
export async function tagView(name: string, reference: string): Promise<HTMLElement> {
  const { digest, manifest: found } = await manifest(name, reference);
  const place = `${name}${reference.includes(":") ? "@" : ":"}${reference}`;
  const referring = await referrers(name, digest);
  const children = (found.manifests ?? []).map((child) => [
    h("a", { href: `#/tags/${name}@${child.digest}` }, kindOf({ manifests: [child] }) || child.digest),
    h("code", {}, child.digest),
    size(child.size),
  ]);
  const blobs = [...(found.layers ?? []), ...(found.config === undefined ? [] : [found.config])].map((blob) => [
    download(name, blob),
    h("code", {}, blob.digest),
    size(blob.size),
  ]);
  const refers = referring.map((one) => [
    h("a", { href: `#/tags/${name}@${one.digest}` }, one.artifactType ?? one.mediaType),
    h("code", {}, one.digest),
    size(one.size),
  ]);
  const section = (title: string, head: string, rows: Parameters<typeof table>[1]) =>
    rows.length === 0 ? undefined : h("section", {}, h("h2", {}, title), table([head, "Digest", "Size"], rows));
  return h(
    "div",
    {},
    h("h1", { tabindex: -1 }, place),
    h("p", {}, h("a", { href: `#/repositories/${name}` }, `Repository ${name}`)),
    h("p", {}, h("code", {}, digest)),
    h("p", { class: "quiet" }, `${size(sizeOf(found))}, ${kindOf(found)}`),
    section("Platforms", "Platform", children),
    section("Files", "File", blobs),
    section("Referrers", "Type", refers),
    commands(place),
  );
}

/** From the bucket, where there is one: the link leads there. */
function download(name: string, { digest, mediaType, annotations }: Descriptor): HTMLElement {
  const title = annotations?.[TITLE];
  // What a manifest says is its maker's: of what is no digest there is nothing to load.
  if (!isDigest(digest)) return h("span", {}, title ?? mediaType);
  const href = new URL(`v2/${name}/blobs/${digest}`, BASE).href;
  return h("a", { href, download: title?.split("/").at(-1) ?? digest.replace(":", "-") }, title ?? mediaType);
}

function commands(name: string): HTMLElement {
  const place = `${BASE.host}/${name}`;
  const lines = [
    `docker pull ${place}`,
    `skopeo copy docker://${place} docker-archive:image.tar`,
    `oras pull ${place}`,
    `overside pull ${place} -o image.tar`,
  ];
  return h("section", {}, h("h2", {}, "Commands"), lines.map(command));
}

function command(line: string): HTMLElement {
  const copied = h("span", { role: "status", class: "quiet" });
  const copy = () => void navigator.clipboard?.writeText(line).then(() => void (copied.textContent = "Copied"));
  // Only pages that came by TLS, or from this machine, may write there.
  const button = h("button", { type: "button", onclick: copy, "aria-label": `Copy ${line}`, hidden: navigator.clipboard === undefined }, "Copy");
  return h("div", { class: "line" }, h("pre", {}, h("code", {}, line)), button, copied);
}
