// The page: what its address names is shown, for whoever is signed in.
import { currentUser, onSessionEnd, Refusal, signOut, type User } from "./api.js";
import { h } from "./dom.js";
import { needProject, needReference, needRepository, NoName } from "./names.js";
import { isBusy, panel, stopAll } from "./upload/panel.js";
import { forgetAll } from "./upload/saved.js";
import { projectView } from "./views/project.js";
import { projectsView } from "./views/projects.js";
import { repositoryView } from "./views/repository.js";
import { signInView } from "./views/sign-in.js";
import { tagView } from "./views/tag.js";

const account = h("span");
/** What happened to the session. */
const notice = h("p", { role: "alert", class: "bad" });
const main = h("main", { tabindex: -1 });
let user: User | undefined;
/** Of two views that load at once the later one is shown. */
let turn = 0;

async function show(): Promise<void> {
  const own = ++turn;
  main.setAttribute("aria-busy", "true");
  const view = await load().catch((error: unknown) => failed(error));
  if (own !== turn) return;
  main.removeAttribute("aria-busy");
  main.replaceChildren(view);
  // With the view, and not before: who has just signed in would write into the form that is about to go.
  showAccount();
  const heading = main.querySelector("h1");
  document.title = `${heading?.textContent ?? ""} – Overside`;
  heading?.focus();
}

async function load(): Promise<HTMLElement> {
  const path = address();
  if (path === "/sign-in") return signInView(() => void signedIn());
  const [, kind, ...name] = path.split("/");
  if (kind === "projects" && name[0]) {
    needProject(name[0]);
    return projectView(name[0], name[1] ?? "repositories", user, refresh);
  }
  if (kind === "tags") {
    const [, tagged = "", reference = ""] = /^(.+?)[:@]([^/]+)$/.exec(name.join("/")) ?? [];
    needRepository(tagged);
    needReference(reference);
    return tagView(tagged, reference);
  }
  if (kind === "repositories" && name.length > 1) {
    needRepository(name.join("/"));
    return repositoryView(name.join("/"), user, refresh);
  }
  return projectsView(user, refresh);
}

/** What the page's address has after its `#`. */
function address(): string {
  try {
    return decodeURIComponent(location.hash.slice(1)) || "/";
  } catch {
    throw new NoName("the address is damaged");
  }
}

function refresh(): void {
  void show();
}

/** Where nobody is signed in the remedy is to do that. */
function failed(error: unknown): HTMLElement {
  const status = error instanceof Refusal ? error.status : ((error as { status?: number }).status ?? 0);
  if (status === 401) {
    user = undefined;
    return signInView(() => void signedIn());
  }
  const heading = status === 403 || status === 404 ? "Not found" : "Something went wrong";
  return h("div", {}, h("h1", { tabindex: -1 }, heading), h("p", { role: "alert" }, (error as Error).message));
}

async function signedIn(): Promise<void> {
  notice.textContent = "";
  try {
    user = await currentUser();
  } catch (error) {
    notice.textContent = (error as Error).message;
    return;
  }
  if (location.hash === "#/sign-in") location.hash = "#/";
  else await show();
}

async function leave(): Promise<void> {
  if (isBusy() && !confirm("Uploads are under way. Sign out and stop them?")) return;
  try {
    await signOut();
  } catch (error) {
    notice.textContent = `You are still signed in: ${(error as Error).message}`;
    return;
  }
  stopAll();
  forgetAll();
  location.hash = "#/";
  location.reload();
}

function showAccount(): void {
  if (user === undefined) return account.replaceChildren(h("a", { href: "#/sign-in" }, "Sign in"));
  if (user.user_id === 0) return account.replaceChildren();
  account.replaceChildren(user.username, " ", h("button", { type: "button", onclick: () => void leave() }, "Sign out"));
}

onSessionEnd((now) => {
  const stopped = isBusy() ? " Uploads were stopped." : "";
  stopAll();
  forgetAll();
  user = now;
  notice.textContent = (now === undefined ? "Your session has ended: sign in again." : `${now.username} is signed in by now.`) + stopped;
  // Where nobody is, what is shown says so by itself.
  if (now === undefined) showAccount();
  else if (location.hash !== "#/sign-in") refresh();
});

document.body.append(h("header", {}, h("a", { class: "home", href: "#/" }, "Overside"), account), notice, main, panel);
addEventListener("hashchange", () => {
  notice.textContent = "";
  refresh();
});
try {
  user = await currentUser();
  // A session that has ended meanwhile leaves nothing for the next one.
  if (user === undefined) forgetAll();
} catch {
  // What is shown says what is wrong.
}
showAccount();
await show();
