import { all, ask } from "../api.js";
import { field, h, table } from "../dom.js";

interface Member {
  id: number;
  entity_name: string;
  role_id: number;
}

/** Harbor's numbers for roles. */
const ROLES: [number, string][] = [
  [1, "admin"],
  [4, "maintainer"],
  [2, "developer"],
  [3, "guest"],
];

export async function membersView(project: string, mayManage: boolean, act: (work: () => Promise<unknown>) => void): Promise<HTMLElement> {
  const path = `projects/${encodeURIComponent(project)}/members`;
  const members = await all<Member>(path);
  const roleOf = (member: Member) => ROLES.find(([id]) => id === member.role_id)?.[1] ?? "";
  const choice = (label: string, chosen: number) => {
    const options = ROLES.map(([id, name]) => h("option", { value: id, selected: id === chosen }, name));
    return h("select", { name: "role", "aria-label": label }, options);
  };
  const button = (label: string, member: Member, onclick: () => void) =>
    h("button", { type: "button", onclick, "aria-label": `${label}: ${member.entity_name}` }, label);
  const rows = members.map((member) => {
    const own = `${path}/${member.id}`;
    if (!mayManage) return [member.entity_name, roleOf(member)];
    const role = choice(`Role of ${member.entity_name}`, member.role_id);
    const change = button("Change role", member, () => act(() => ask("PUT", own, { role_id: Number(role.value) })));
    const remove = button("Remove", member, () => act(() => ask("DELETE", own)));
    return [member.entity_name, role, [change, " ", remove]];
  });
  const add = (event: Event) => {
    event.preventDefault();
    const form = new FormData(event.target as HTMLFormElement);
    const body = { role_id: Number(form.get("role")), member_user: { username: String(form.get("name")) } };
    act(() => ask("POST", path, body));
  };
  const form = h(
    "form",
    { class: "row", onsubmit: add },
    field("User", { name: "name", required: true, autocomplete: "off" }),
    choice("Role", 2),
    h("button", { class: "main" }, "Add member"),
  );
  return h("section", {}, h("h2", {}, "Members"), table(["User", "Role", ...(mayManage ? ["What to do"] : [])], rows), mayManage ? form : undefined);
}
