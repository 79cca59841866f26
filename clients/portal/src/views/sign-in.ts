import { signIn } from "../api.js";
import { field, h } from "../dom.js";

export function signInView(onDone: () => void): HTMLElement {
  const problem = h("p", { role: "alert", class: "bad" });
  const submit = async (event: Event) => {
    event.preventDefault();
    const form = new FormData(event.target as HTMLFormElement);
    problem.textContent = "";
    try {
      await signIn(String(form.get("principal")), String(form.get("password")));
      onDone();
    } catch (error) {
      problem.textContent = (error as Error).message;
    }
  };
  return h(
    "div",
    {},
    h("h1", { tabindex: -1 }, "Sign in"),
    h(
      "form",
      { onsubmit: (event) => void submit(event) },
      field("Name", { name: "principal", autocomplete: "username", required: true, autocapitalize: "none" }),
      field("Password", { name: "password", type: "password", autocomplete: "current-password", required: true }),
      h("button", { class: "main" }, "Sign in"),
      problem,
    ),
  );
}
