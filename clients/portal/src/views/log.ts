import { ask } from "../api.js";
import { h, table, time } from "../dom.js";

interface Entry {
  username: string;
  resource: string;
  resource_type: string;
  operation: string;
  op_time: string;
}

export async function logView(project: string): Promise<HTMLElement> {
  const { said } = await ask<Entry[]>("GET", `projects/${encodeURIComponent(project)}/logs?page_size=100`);
  const rows = said.map((entry) => [time(entry.op_time), entry.username, entry.operation, entry.resource_type, entry.resource]);
  return h("section", {}, h("h2", {}, "Who did what"), table(["When", "Who", "What", "Kind", "To"], rows));
}
