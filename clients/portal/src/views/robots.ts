import { all, ask } from "../api.js";
import { field, h, table, time } from "../dom.js";

interface Robot {
  id: number;
  name: string;
  disable: boolean;
  expires_at: number;
  permissions: { access: { action: string }[] }[];
}

const ACTIONS = ["pull", "push", "delete"];

export async function robotsView(project: string, act: (work: () => Promise<unknown>) => void): Promise<HTMLElement> {
  const robots = await all<Robot>(`robots?project=${encodeURIComponent(project)}`);
  const secret = h("p", { role: "status" });
  const show = (name: string, text: string) =>
    secret.replaceChildren(`The secret of ${name}, shown once: `, h("code", {}, text));
  const rows = robots.map((robot) => {
    const own = `robots/${robot.id}`;
    const rotate = async () => show(robot.name, (await ask<{ secret: string }>("PATCH", own, { secret: "" })).said.secret);
    const button = (label: string, onclick: () => void) => h("button", { type: "button", onclick, "aria-label": `${label}: ${robot.name}` }, label);
    return [
      robot.name,
      robot.permissions.flatMap(({ access }) => access.map(({ action }) => action)).join(", "),
      robot.expires_at < 0 ? "never" : time(new Date(robot.expires_at * 1000).toISOString()),
      [
        button("New secret", () => void rotate().catch((error: Error) => secret.replaceChildren(error.message))),
        " ",
        button(robot.disable ? "Enable" : "Disable", () => act(() => ask("PUT", own, { disable: !robot.disable }))),
        " ",
        button("Remove", () => act(() => ask("DELETE", own))),
      ],
    ];
  });
  const create = async (event: Event) => {
    event.preventDefault();
    const form = new FormData(event.target as HTMLFormElement);
    const access = ACTIONS.filter((action) => form.has(action)).map((action) => ({ resource: "repository", action }));
    const body = {
      name: form.get("name"),
      duration: Number(form.get("days")),
      level: "project",
      permissions: [{ kind: "project", namespace: project, access }],
    };
    try {
      const { said } = await ask<{ name: string; secret: string }>("POST", "robots", body);
      show(said.name, said.secret);
    } catch (error) {
      secret.replaceChildren((error as Error).message);
    }
  };
  const boxes = ACTIONS.map((action) =>
    h("label", { class: "check" }, h("input", { type: "checkbox", name: action, checked: action === "pull" }), action),
  );
  const form = h(
    "form",
    { class: "row", onsubmit: (event) => void create(event) },
    field("Name", { name: "name", required: true, autocomplete: "off" }),
    field("Days", { name: "days", type: "number", min: -1, value: 30, required: true }),
    boxes,
    h("button", { class: "main" }, "Create robot"),
  );
  const list = rows.length === 0 ? h("p", { class: "quiet" }, "There is none yet.") : table(["Robot", "May", "Ends", "What to do"], rows);
  return h("section", {}, h("h2", {}, "Robots"), list, form, secret);
}
