import { all, ask, type Project, type User } from "../api.js";
import { field, h, table, time } from "../dom.js";

export async function projectsView(user: User | undefined, show: () => void): Promise<HTMLElement> {
  const projects = await all<Project>("projects");
  const rows = projects.map((project) => [
    h("a", { href: `#/projects/${project.name}` }, project.name),
    project.metadata.public === "true" ? "public" : "private",
    String(project.repo_count),
    project.owner_name,
    time(project.creation_time),
  ]);
  return h(
    "div",
    {},
    h("h1", { tabindex: -1 }, "Projects"),
    rows.length === 0 ? h("p", { class: "quiet" }, "There is no project that you may see.") : undefined,
    rows.length === 0 ? undefined : table(["Name", "Who may pull", "Repositories", "Made by", "Made at"], rows),
    user !== undefined ? newProject(show) : undefined,
  );
}

function newProject(show: () => void): HTMLElement {
  const problem = h("p", { role: "alert", class: "bad" });
  const submit = async (event: Event) => {
    event.preventDefault();
    const form = new FormData(event.target as HTMLFormElement);
    try {
      const body = { project_name: form.get("name"), metadata: { public: form.has("public") ? "true" : "false" } };
      await ask("POST", "projects", body);
      show();
    } catch (error) {
      problem.textContent = (error as Error).message;
    }
  };
  return h(
    "section",
    {},
    h("h2", {}, "New project"),
    h(
      "form",
      { class: "row", onsubmit: (event) => void submit(event) },
      field("Name", { name: "name", required: true, autocomplete: "off", spellcheck: "false" }),
      h("label", { class: "check" }, h("input", { type: "checkbox", name: "public" }), "Everybody may pull"),
      h("button", { class: "main" }, "Create project"),
    ),
    problem,
  );
}
