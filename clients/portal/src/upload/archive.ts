// What is to be published, read from what was chosen: an image of `docker save`, one of an OCI layout, or files as they are.
import type { Descriptor, Manifest } from "../registry.js";
import { readTar, type Members } from "./tar.js";

const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER = "application/vnd.oci.image.layer.v1.tar";
const EMPTY_CONFIG = "application/vnd.oci.empty.v1+json";
/** As `overside put` has it. */
const FILE_TYPE = "application/vnd.unknown.artifact.v1";
const TITLE = "org.opencontainers.image.title";
const NAMES = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
/** Of a JSON in an archive, in bytes: registries take no longer manifest. */
const LONGEST_JSON = 4 * 1024 * 1024;
/** Files of one artifact. */
const MOST_FILES = 10_000;
/** Indexes within indexes. */
const DEEPEST = 4;

/** Bytes that a manifest names. */
export interface Part {
  /** For people. */
  name: string;
  content: Blob;
  mediaType: string;
  /** Where the archive says it; the registry proves it. */
  digest?: string;
  annotations?: Record<string, string>;
}

/** A manifest as it is in the archive, or one to be made of its parts once their digests are known. */
export type Document =
  | { kind: "given"; digest: string; mediaType: string; content: Blob }
  | { kind: "made"; artifactType?: string; config: Part; layers: Part[] };

export interface Plan {
  /** As the archive calls it. */
  name: string | undefined;
  parts: Part[];
  /** Each after what it names; the last one gets the tag. */
  documents: Document[];
}

/** What one or several chosen files are. An archive of several images has one plan each. */
export async function plan(files: File[]): Promise<Plan[]> {
  const [file] = files;
  if (file === undefined) throw new Error("no file was chosen");
  if (files.length === 1 && /\.(tar|tgz|tar\.gz)$/i.test(file.name)) {
    const archive = await unpacked(file);
    const members = await readTar(archive);
    if (members.has("oci-layout") && members.has("index.json")) return ofLayout(members);
    if (members.has("manifest.json")) return ofSaved(members);
  }
  return [ofFiles(files)];
}

/** A tar that is packed by gzip is unpacked as a whole: the browser keeps it, on its disk where it is large. */
async function unpacked(file: File): Promise<Blob> {
  const magic = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  if (magic[0] !== 0x1f || magic[1] !== 0x8b) return file;
  return new Response(file.stream().pipeThrough(new DecompressionStream("gzip"))).blob();
}

async function json<T>(name: string, content: Blob | undefined): Promise<T> {
  if (content === undefined) throw new Error(`the archive lacks ${name}`);
  if (content.size > LONGEST_JSON) throw new Error(`${name} in the archive is too large to be a description`);
  try {
    return JSON.parse(await content.text()) as T;
  } catch {
    throw new Error(`${name} in the archive is not JSON`);
  }
}

async function ofSaved(members: Members): Promise<Plan[]> {
  const images = await json<{ Config: string; RepoTags?: string[] | null; Layers?: string[] | null }[]>(
    "manifest.json",
    members.get("manifest.json"),
  );
  return Promise.all(
    images.map(async ({ Config, RepoTags, Layers }) => {
      const part = (name: string, mediaType: string): Part => {
        const content = members.get(name);
        if (content === undefined) throw new Error(`the archive lacks ${name}`);
        return { name, content, mediaType };
      };
      const config = part(Config, OCI_CONFIG);
      const layers = await Promise.all(
        (Layers ?? []).map(async (name) => {
          const layer = part(name, OCI_LAYER);
          return { ...layer, mediaType: OCI_LAYER + (await compression(layer.content)) };
        }),
      );
      return { name: RepoTags?.[0], parts: [...layers, config], documents: [{ kind: "made" as const, config, layers }] };
    }),
  );
}

async function compression(layer: Blob): Promise<string> {
  const [a, b, c, d] = new Uint8Array(await layer.slice(0, 4).arrayBuffer());
  if (a === 0x1f && b === 0x8b) return "+gzip";
  return a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd ? "+zstd" : "";
}

async function ofLayout(members: Members): Promise<Plan[]> {
  const index = await json<Manifest>("index.json", members.get("index.json"));
  return Promise.all(
    (index.manifests ?? []).map(async (root) => {
      const found: Plan = { name: NAMES.map((key) => root.annotations?.[key]).find(Boolean), parts: [], documents: [] };
      await collect(members, root, found, 0);
      return found;
    }),
  );
}

/** Adds a manifest, after all that it names. */
async function collect(members: Members, root: Descriptor, found: Plan, depth: number): Promise<void> {
  const place = ({ digest }: Descriptor) => `blobs/${digest.replace(":", "/")}`;
  const content = members.get(place(root));
  const { config, layers = [], manifests = [] } = await json<Manifest>(place(root), content);
  if (depth > DEEPEST) throw new Error("the archive's indexes lead on without an end");
  for (const child of manifests) {
    // `docker save` of one platform leaves the others out of an index that names them.
    if (members.has(place(child))) await collect(members, child, found, depth + 1);
  }
  for (const { digest, mediaType } of [...layers, ...(config === undefined ? [] : [config])]) {
    const bytes = members.get(`blobs/${digest.replace(":", "/")}`);
    if (bytes === undefined) throw new Error(`the archive lacks ${digest}`);
    if (!found.parts.some((part) => part.digest === digest)) found.parts.push({ name: digest, content: bytes, mediaType, digest });
  }
  found.documents.push({ kind: "given", digest: root.digest, mediaType: root.mediaType, content: content as Blob });
}

/** Each with its path in the folder that was chosen, if it was one. */
function ofFiles(files: File[]): Plan {
  if (files.length > MOST_FILES) throw new Error(`an artifact has at most ${MOST_FILES} files; put them into a tar`);
  const title = (file: File) => file.webkitRelativePath.split("/").slice(1).join("/") || file.name;
  const layers = files.map((file) => {
    const annotations = { [TITLE]: title(file) };
    return { name: title(file), content: file, mediaType: "application/octet-stream", annotations };
  });
  const config = { name: "config", content: new Blob(["{}"]), mediaType: EMPTY_CONFIG };
  const made: Document = { kind: "made", artifactType: FILE_TYPE, config, layers };
  return { name: undefined, parts: [...layers, config], documents: [made] };
}

/** The manifest of parts whose digests are known. */
export function make(document: Document & { kind: "made" }, digests: Map<Part, string>): string {
  const descriptor = (part: Part): Descriptor => ({
    mediaType: part.mediaType,
    digest: digests.get(part) ?? "",
    size: part.content.size,
    ...(part.annotations === undefined ? {} : { annotations: part.annotations }),
  });
  const { artifactType, config, layers } = document;
  const type = artifactType === undefined ? {} : { artifactType };
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    ...type,
    config: descriptor(config),
    layers: layers.map(descriptor),
  });
}

export const MADE_TYPE = OCI_MANIFEST;
