/** An attribute, a property or, in names that begin with `on`, a listener. */
type Property = string | number | boolean | undefined | ((event: Event) => void);
export type Child = Node | string | undefined | Child[];

/** An element. Texts stay texts: nothing that a registry holds is read as HTML. */
export function h<K extends keyof HTMLElementTagNameMap>(
  name: K,
  properties: Record<string, Property> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(key.slice(2), value);
    else if (typeof value === "boolean") element.toggleAttribute(key, value);
    else if (value !== undefined) element.setAttribute(key, String(value));
  }
  element.append(...flat(children));
  return element;
}

function flat(children: Child[]): (Node | string)[] {
  return children.flatMap((child) => (child === undefined ? [] : Array.isArray(child) ? flat(child) : [child]));
}

/** An input below its label. */
export function field(label: string, properties: Record<string, Property>): HTMLLabelElement {
  return h("label", {}, label, h("input", properties));
}

export function table(heads: string[], rows: Child[][]): HTMLElement {
  const head = h("thead", {}, h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text))));
  const body = rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell))));
  // Scrolled by itself on a narrow screen, by keys too.
  return h("div", { class: "table", tabindex: 0, role: "group", "aria-label": heads[0] }, h("table", {}, head, h("tbody", {}, body)));
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

export function size(bytes: number): string {
  let unit = 0;
  let value = bytes;
  for (; value >= 1024 && unit < UNITS.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 1 : 0)} ${UNITS[unit]}`;
}

export function time(text: string | undefined): string {
  return text === undefined ? "" : new Date(text).toLocaleString();
}
