// What the registry says of repositories and tags (OCI distribution 1.1).
import { BASE, refused, send } from "./api.js";
import { needProject, needReference, needRepository } from "./names.js";

const MANIFESTS = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.docker.distribution.manifest.v2+json",
];
const PAGE_SIZE = 100;
/** Names that one list of the page has at most. */
const MOST_NAMES = 1_000;

export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
  platform?: { architecture?: string; os?: string; variant?: string };
  annotations?: Record<string, string>;
}

export interface Manifest {
  annotations?: Record<string, string>;
  mediaType?: string;
  artifactType?: string;
  config?: Descriptor;
  layers?: Descriptor[];
  manifests?: Descriptor[];
}

async function get(path: string, headers: Record<string, string> = {}): Promise<Response> {
  const answer = await send(new URL(`v2/${path}`, BASE), { headers });
  if (!answer.ok) throw await refused(answer);
  return answer;
}

/** Repositories of a project that the caller may pull from. */
export async function repositories(project: string): Promise<string[]> {
  needProject(project);
  const names: string[] = [];
  for (let last = `${project}/`; names.length < MOST_NAMES; ) {
    const answer = await get(`_catalog?n=${PAGE_SIZE}&last=${encodeURIComponent(last)}`);
    const page = ((await answer.json()) as { repositories: string[] }).repositories;
    const own = page.filter((name) => name.startsWith(`${project}/`));
    names.push(...own);
    if (own.length < page.length || !answer.headers.has("link")) break;
    last = page.at(-1) ?? last;
  }
  return names;
}

export async function tags(repository: string): Promise<string[]> {
  needRepository(repository);
  try {
    const answer = await get(`${repository}/tags/list?n=${MOST_NAMES}`);
    return ((await answer.json()) as { tags: string[] | null }).tags ?? [];
  } catch (error) {
    if ((error as { status?: number }).status === 404) return [];
    throw error;
  }
}

export async function manifest(repository: string, reference: string): Promise<{ digest: string; manifest: Manifest }> {
  needRepository(repository);
  needReference(reference);
  const answer = await get(`${repository}/manifests/${reference}`, { accept: MANIFESTS.join(", ") });
  return { digest: answer.headers.get("docker-content-digest") ?? "", manifest: (await answer.json()) as Manifest };
}

/** What refers to a manifest: signatures, lists of contents, and so on. */
export async function referrers(repository: string, digest: string): Promise<(Descriptor & { artifactType?: string })[]> {
  needRepository(repository);
  needReference(digest);
  const answer = await get(`${repository}/referrers/${digest}`);
  return ((await answer.json()) as Manifest).manifests ?? [];
}

/** Publishes a manifest under a tag or a digest; its digest. */
export async function putManifest(repository: string, reference: string, type: string, body: BodyInit): Promise<string> {
  needRepository(repository);
  needReference(reference);
  const url = new URL(`v2/${repository}/manifests/${encodeURIComponent(reference)}`, BASE);
  const answer = await send(url, { method: "PUT", headers: { "content-type": type }, body });
  if (!answer.ok) throw await refused(answer);
  return answer.headers.get("docker-content-digest") ?? "";
}

/** Of all that a manifest names, in bytes. */
export function sizeOf({ config, layers = [], manifests = [] }: Manifest): number {
  return [...layers, ...manifests, ...(config === undefined ? [] : [config])].reduce((sum, { size }) => sum + size, 0);
}
