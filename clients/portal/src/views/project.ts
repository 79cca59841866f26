import { ask, may, type Project, type User } from "../api.js";
import { field, h, size, table, type Child } from "../dom.js";
import { repositories } from "../registry.js";
import { uploadForm } from "../upload/form.js";
import { logView } from "./log.js";
import { membersView } from "./members.js";
import { robotsView } from "./robots.js";

interface Quota {
  hard: { storage: number; count: number };
  used: { storage: number; count: number };
}

const MIB = 1024 * 1024;

export async function projectView(name: string, tab: string, user: User | undefined, show: () => void): Promise<HTMLElement> {
  const { said: project } = await ask<Project>("GET", `projects/${encodeURIComponent(name)}`);
  const rights = may(user, project);
  const problem = h("p", { role: "alert", class: "bad" });
  /** Changes something, and shows how it is then. */
  const act = (work: () => Promise<unknown>) => {
    problem.textContent = "";
    work().then(show, (error: Error) => void (problem.textContent = error.message));
  };
  const tabs = ["repositories", ...(rights.seeInside ? ["members", "quota", "log"] : []), ...(rights.manage ? ["robots"] : [])];
  const links = tabs.map((one) => {
    const href = `#/projects/${name}/${one}`;
    return h("li", {}, h("a", { href, "aria-current": one === tab ? "page" : undefined }, one));
  });
  const views: Record<string, () => Promise<Child>> = {
    members: () => membersView(name, rights.manage, act),
    robots: () => robotsView(name, act),
    quota: () => quotaView(project, rights.manage, act),
    log: () => logView(name),
  };
  const view = (Object.hasOwn(views, tab) ? views[tab] : undefined) ?? (() => repositoriesView(name, rights.push, show));
  return h(
    "div",
    {},
    h("h1", { tabindex: -1 }, name),
    h("p", { class: "quiet" }, project.metadata.public === "true" ? "Everybody may pull." : "Its members alone see it."),
    h("nav", { "aria-label": "Project" }, h("ul", {}, links)),
    await view(),
    problem,
  );
}

async function repositoriesView(project: string, mayPush: boolean, show: () => void): Promise<Child> {
  const rows = (await repositories(project)).map((name) => [h("a", { href: `#/repositories/${name}` }, name)]);
  return [
    h("h2", {}, "Repositories"),
    rows.length === 0 ? h("p", { class: "quiet" }, "There is none yet.") : table(["Name"], rows),
    mayPush ? h("section", {}, h("h2", {}, "Upload"), uploadForm(project, undefined, show)) : undefined,
  ];
}

async function quotaView(project: Project, mayManage: boolean, act: (work: () => Promise<unknown>) => void): Promise<Child> {
  const path = `quotas/${project.project_id}`;
  const { hard, used } = (await ask<Quota>("GET", path)).said;
  const change = (event: Event) => {
    event.preventDefault();
    const form = new FormData(event.target as HTMLFormElement);
    const [storage, count] = [Number(form.get("storage")), Number(form.get("count"))];
    act(() => ask("PUT", path, { hard: { storage: storage < 0 ? -1 : storage * MIB, count } }));
  };
  const number = (label: string, name: string, value: number) =>
    field(label, { name, type: "number", min: -1, step: "any", value, required: true });
  const form = h(
    "form",
    { class: "row", onsubmit: change },
    number("Most MiB (-1: no limit)", "storage", hard.storage < 0 ? -1 : hard.storage / MIB),
    number("Most tags (-1: no limit)", "count", hard.count),
    h("button", { class: "main" }, "Change limits"),
  );
  const limit = (value: number, text: string) => (value < 0 ? "no limit" : text);
  const rows = [
    ["Bytes", size(used.storage), limit(hard.storage, size(hard.storage))],
    ["Tags", String(used.count), limit(hard.count, String(hard.count))],
  ];
  return [h("h2", {}, "Quota"), table(["Of", "Used", "At most"], rows), mayManage ? form : undefined];
}
