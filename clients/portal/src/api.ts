import { Overside, type Repository } from "../../js/src/index.js";

/** Where the service is. Behind a proxy that may be below a path. */
export const BASE = new URL("./", document.baseURI);
const TOKEN = "x-harbor-csrf-token";
const SAFE = ["GET", "HEAD"];
/** As many as the service gives at once. */
const PAGE_SIZE = 100;
/** Entries that a list of this page has at most. */
const MOST_ENTRIES = 1_000;

export interface User {
  /** 0 where nobody has to sign in, and everybody may everything. */
  user_id: number;
  username: string;
  sysadmin_flag: boolean;
}

export interface Project {
  project_id: number;
  name: string;
  owner_name: string;
  creation_time: string;
  current_user_role_id?: number;
  metadata: { public: string };
  repo_count: number;
}

export class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

const SIGN_IN = new URL("c/login", BASE);
const CURRENT_USER = new URL("api/v2.0/users/current", BASE);

let token = "";
/** Requests so far. */
let sent = 0;
/** The request whose answer gave the token: what answers to earlier ones have is older. */
let tokenOf = 0;
/** The last request that was sent before somebody signed in: what its answer says is of whoever had the page before. */
let lastBefore = 0;
/** For whom the page sends its requests. */
let signedIn: User | undefined;
let tell: (now: User | undefined) => void = () => {};

/** Tells when whoever was signed in is not any more, and who is. */
export function onSessionEnd(listener: (now: User | undefined) => void): void {
  tell = listener;
}

/**
 * `fetch` with the session's cookie and token. Another token is that of another session, as of somebody who has signed in in
 * another tab: it is taken only once it is known whose it is. A change that is refused for its token is sent again, once, and
 * only for whoever wanted it.
 */
export const send: typeof fetch = async (input, init = {}) => {
  const url = new URL(input instanceof Request ? input.url : input, BASE);
  if (url.origin !== BASE.origin) return fetch(input, init);
  const known = signedIn;
  const { answer, given, isOther, isStale } = await sendOnce(url, init, token);
  if (url.href === SIGN_IN.href) return isStale ? (await sendOnce(url, init, given ?? "")).answer : answer;
  // Whether that is because the session has ended is known by whoever is signed in.
  if (answer.status === 401 && known !== undefined) await currentUser().catch(() => undefined);
  if (!isStale) {
    if (isOther) await currentUser().catch(() => undefined);
    return answer;
  }
  const now = await currentUser();
  return now !== undefined && now.user_id === known?.user_id ? (await sendOnce(url, init, token)).answer : ofSomebodyElse(now);
};

async function sendOnce(url: URL, init: RequestInit, shown: string) {
  const number = ++sent;
  const isChange = !SAFE.includes(init.method ?? "GET");
  const isSignIn = url.href === SIGN_IN.href;
  const headers = new Headers(init.headers);
  if (isChange) headers.set(TOKEN, shown);
  const answer = await fetch(url, { ...init, headers, credentials: "same-origin" });
  const given = answer.headers.get(TOKEN) ?? undefined;
  const isOther = given !== undefined && given !== token && number > tokenOf;
  if (isSignIn && answer.ok) tokenOf = lastBefore = sent;
  else if (isOther && (signedIn === undefined || url.href === CURRENT_USER.href)) tokenOf = number;
  if (given !== undefined && (tokenOf === number || (isSignIn && answer.ok))) token = given;
  const isStale = isChange && answer.status === 403 && given !== undefined && given !== shown;
  return { answer, given, isOther, isStale, number };
}

function ofSomebodyElse(now: User | undefined): Response {
  const message = now === undefined ? "you are not signed in any more" : `${now.username} is signed in by now: nothing was changed`;
  return Response.json({ errors: [{ code: "FORBIDDEN", message }] }, { status: now === undefined ? 401 : 403 });
}

/** Asks Harbor's API; the JSON of its answer, where it has one, and how many entries there are in all. */
export async function ask<T>(method: string, path: string, body?: unknown): Promise<{ said: T; total: number }> {
  const json = { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  const answer = await send(new URL(`api/v2.0/${path}`, BASE), { method, ...(body === undefined ? {} : json) });
  if (!answer.ok) throw await refused(answer);
  const text = await answer.text();
  const said = (text === "" ? undefined : JSON.parse(text)) as T;
  return { said, total: Number(answer.headers.get("x-total-count") ?? 0) };
}

/** All pages of a list, to a bound. */
export async function all<T>(path: string): Promise<T[]> {
  const entries: T[] = [];
  for (let page = 1; entries.length < MOST_ENTRIES; page++) {
    const { said } = await ask<T[]>("GET", `${path}${path.includes("?") ? "&" : "?"}page=${page}&page_size=${PAGE_SIZE}`);
    entries.push(...said);
    if (said.length < PAGE_SIZE) break;
  }
  return entries;
}

export async function refused(answer: Response): Promise<Refusal> {
  const said: unknown = await answer.json().catch(() => undefined);
  const message = (said as { errors?: { message?: string }[] } | undefined)?.errors?.[0]?.message;
  return new Refusal(answer.status, message ?? `the service answered ${answer.status}`);
}

/** Who is signed in. */
export async function currentUser(): Promise<User | undefined> {
  const { answer, number } = await sendOnce(CURRENT_USER, {}, token);
  if (!answer.ok && answer.status !== 401) throw await refused(answer);
  const now = answer.ok ? ((await answer.json()) as User) : undefined;
  if (number <= lastBefore) return signedIn;
  const before = signedIn;
  signedIn = now;
  if (before !== undefined && before.user_id !== now?.user_id) tell(now);
  return now;
}

export async function signIn(principal: string, password: string): Promise<void> {
  const body = new URLSearchParams({ principal, password });
  const answer = await send(SIGN_IN, { method: "POST", body });
  if (!answer.ok) throw await refused(answer);
}

export async function signOut(): Promise<void> {
  const answer = await send(new URL("c/log_out", BASE));
  if (!answer.ok) throw await refused(answer);
  signedIn = undefined;
}

export function repository(name: string): Repository {
  const workerUrl = new URL(document.body.dataset["worker"] ?? "", BASE);
  return new Overside({ url: BASE, fetch: send, workerUrl }).repository(name);
}

/** What the signed-in user may do in a project: Harbor's roles are 1 admin, 2 developer, 3 guest, 4 maintainer. */
export function may(user: User | undefined, project: Project) {
  const role = user?.sysadmin_flag ? 1 : (project.current_user_role_id ?? 0);
  return { push: [1, 2, 4].includes(role), delete: [1, 4].includes(role), manage: role === 1, seeInside: role > 0 };
}
