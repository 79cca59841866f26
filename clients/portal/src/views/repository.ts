import { ask, may, type Project, type User } from "../api.js";
import { h, size, table } from "../dom.js";
import { manifest, sizeOf, tags, type Manifest } from "../registry.js";
import { uploadForm } from "../upload/form.js";

/** Tags whose manifests are looked at: each is a request. */
const MOST_SHOWN = 100;

export async function repositoryView(name: string, user: User | undefined, show: () => void): Promise<HTMLElement> {
  const [projectName = "", ...rest] = name.split("/");
  const { said: project } = await ask<Project>("GET", `projects/${encodeURIComponent(projectName)}`);
  const names = await tags(name);
  const shown = names.slice(0, MOST_SHOWN);
  const rows = await Promise.all(
    shown.map(async (tag) => {
      const { digest, manifest: found } = await manifest(name, tag);
      return [h("a", { href: `#/tags/${name}:${tag}` }, tag), h("code", {}, digest), size(sizeOf(found)), kindOf(found)];
    }),
  );
  const more = names.length > shown.length ? h("p", { class: "quiet" }, `The first ${MOST_SHOWN} of ${names.length} tags.`) : undefined;
  return h(
    "div",
    {},
    h("h1", { tabindex: -1 }, name),
    h("p", {}, h("a", { href: `#/projects/${projectName}` }, `Project ${projectName}`)),
    h("h2", {}, "Tags"),
    rows.length === 0 ? h("p", { class: "quiet" }, "There is none yet.") : table(["Tag", "Digest", "Size", "What it is"], rows),
    more,
    may(user, project).push ? h("section", {}, h("h2", {}, "Upload"), uploadForm(projectName, rest.join("/"), show)) : undefined,
  );
}

/** An index's platforms, or the type of what it is. */
export function kindOf({ manifests, artifactType, config }: Manifest): string {
  const platforms = (manifests ?? []).map(({ platform }) => [platform?.os, platform?.architecture, platform?.variant].filter(Boolean).join("/"));
  return manifests === undefined ? (artifactType ?? config?.mediaType ?? "") : platforms.join(", ");
}
