import { OversideError, refusal, unreachable } from "./errors.js";
import { mayPass, Retry } from "./retry.js";
import { TimeLimit } from "./time-limit.js";

/** A personal access token or an OIDC token, or a name and a password (a token's or a robot's secret, too). */
export type Credentials = { token: string } | { username: string; password: string };

export interface OversideOptions {
  /** Where the service is, such as `https://overside.example`. */
  url: string | URL;
  token?: string | undefined;
  username?: string | undefined;
  password?: string | undefined;
  /** Asked before the first request that needs it, and again once what it gave is refused. */
  credentials?: (() => Credentials | undefined | Promise<Credentials | undefined>) | undefined;
  /** Used instead of the global one; where there is XMLHttpRequest, not for the bytes of an upload. */
  fetch?: typeof fetch | undefined;
  /** Where a page serves `overside/worker`; beside the module by default. */
  workerUrl?: string | URL | undefined;
}

export interface Call {
  method: string;
  /** Below the service's URL. */
  path: string;
  query?: Record<string, string | number | undefined>;
  headers?: Record<string, string>;
  body?: string;
  signal?: AbortSignal | undefined;
}

interface Challenge {
  realm: string;
  service: string | undefined;
  scope: string;
}

/** A token that ends so soon may end on its way, in milliseconds. */
const MARGIN = 5_000;
/** Where a token service says nothing else, in seconds (Docker's token specification). */
const DEFAULT_LIFETIME = 60;
/** Tries before the server has ever answered: enough for one that is starting, short for a typing error. */
const FIRST_CONTACT_ATTEMPTS = 3;
/** For one answer with its body, in milliseconds: the server answers within 25 s, whatever it goes on with. */
const LONGEST_ANSWER = 60_000;

/** Requests to one service: signed in, and repeated where that helps. */
export class Connection {
  readonly #base: URL;
  readonly #credentials: () => Credentials | undefined | Promise<Credentials | undefined>;
  /** The `Authorization` that has answered each scope's challenge, and when it ends. */
  readonly #tokens = new Map<string, { authorization: string; ends: number }>();
  /** The challenge that each kind of request has met. */
  readonly #challenges = new Map<string, Challenge>();
  readonly #fetch: typeof fetch | undefined;
  /** Where the page serves the worker that hashes. */
  readonly workerUrl: string | URL | undefined;
  #current: Promise<Credentials | undefined> | undefined;
  #hasAnswered = false;

  constructor(options: OversideOptions) {
    this.#base = new URL(options.url);
    if (this.#base.username !== "" || this.#base.password !== "") {
      throw new TypeError("the url has a password in it; give `username` and `password` instead");
    }
    if (!this.#base.pathname.endsWith("/")) this.#base.pathname += "/";
    this.#fetch = options.fetch;
    this.workerUrl = options.workerUrl;
    const { token, username, password } = options;
    const fixed =
      token !== undefined ? { token } : username !== undefined ? { username, password: password ?? "" } : undefined;
    this.#credentials = options.credentials ?? (() => fixed);
  }

  get url(): string {
    return this.#base.href;
  }

  /** The platform's `fetch`, or the caller's. Not called as a method: browsers' insists on its window. */
  get fetch(): typeof fetch {
    return this.#fetch ?? globalThis.fetch;
  }

  /** Sends a request until it is answered, and gives the answer where that is no refusal. Its body is yet to be read. */
  call(call: Call): Promise<Response> {
    return this.#repeat(call, async (answer) => answer);
  }

  /** Sends a request until it is answered with JSON, which has to arrive as a whole, and gives that with its headers. */
  json<T>(call: Call): Promise<{ said: T; headers: Headers }> {
    return this.#repeat(call, async (answer) => ({ said: await readJson<T>(answer, this.#base), headers: answer.headers }));
  }

  async #repeat<T>(call: Call, read: (answer: Response) => Promise<T>): Promise<T> {
    const retry = new Retry(call.signal);
    for (;;) {
      const limit = new TimeLimit(`${this.#base.host} does not answer; check the network`, call.signal);
      try {
        limit.start(LONGEST_ANSWER);
        const answer = await this.#signedIn({ ...call, signal: limit.signal });
        if (!answer.ok) throw await refusal(answer, this.#base);
        return await read(answer);
      } catch (failure) {
        call.signal?.throwIfAborted();
        const error = limit.signal.aborted ? limit.signal.reason : failure;
        if (!(error instanceof OversideError) || !mayPass(error)) throw error;
        await retry.after(error, this.#hasAnswered ? undefined : FIRST_CONTACT_ATTEMPTS);
      } finally {
        limit.end();
      }
    }
  }

  async #signedIn(call: Call): Promise<Response> {
    const url = new URL(call.path, this.#base);
    for (const [name, value] of Object.entries(call.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    // One right to push serves all of a repository's uploads, one to pull all of its downloads.
    const purpose = url.pathname.replace(/\/blobs\/(uploads\/)?.*/, "/blobs/$1");
    const challenge = this.#challenges.get(purpose);
    const current = this.#currentCredentials();
    const authorization = await this.#authorization(await current, challenge, call.signal);
    const answer = await this.#send(url, call, authorization);
    if (answer.status !== 401) return answer;
    const next = readChallenge(answer.headers.get("www-authenticate")) ?? challenge;
    if (next !== undefined) this.#challenges.set(purpose, next);
    this.#tokens.delete(next?.scope ?? "");
    // Another request may have asked for others meanwhile.
    if (authorization !== undefined && this.#current === current) this.#current = undefined;
    const renewed = await this.#authorization(await this.#currentCredentials(), next, call.signal);
    if (renewed === undefined || renewed === authorization) return answer;
    await answer.body?.cancel();
    return this.#send(url, call, renewed);
  }

  #currentCredentials(): Promise<Credentials | undefined> {
    this.#current ??= Promise.resolve(this.#credentials()).catch((error: unknown) => {
      this.#current = undefined;
      throw error;
    });
    return this.#current;
  }

  async #send(url: URL, call: Call, authorization: string | undefined): Promise<Response> {
    const { method, body = null, signal = null } = call;
    const headers = { ...call.headers, ...(authorization === undefined ? {} : { authorization }) };
    // Signing in is by a header; a browser's cookies are not for this.
    const send = this.fetch;
    const answer = await send(url, { method, headers, body, signal, credentials: "omit" }).catch((error: unknown) => {
      call.signal?.throwIfAborted();
      throw unreachable(url.href, error);
    });
    this.#hasAnswered = true;
    return answer;
  }

  async #authorization(
    credentials: Credentials | undefined,
    challenge: Challenge | undefined,
    signal?: AbortSignal,
  ): Promise<string | undefined> {
    const key = challenge?.scope ?? "";
    const known = this.#tokens.get(key);
    if (known !== undefined && known.ends > Date.now() + MARGIN) return known.authorization;
    if (credentials !== undefined && "token" in credentials) return `Bearer ${credentials.token}`;
    const basic = credentials === undefined ? undefined : basicAuthorization(credentials.username, credentials.password);
    // Nothing is sent before the server has asked for it; one that asks for nothing better gets the password.
    if (challenge === undefined) return undefined;
    if (challenge.realm === "") return basic;
    const token = await this.#fetchToken(challenge, basic, signal);
    this.#tokens.set(key, token);
    return token.authorization;
  }

  async #fetchToken(challenge: Challenge, basic: string | undefined, signal?: AbortSignal) {
    const realm = new URL(challenge.realm, this.#base);
    if (basic !== undefined && realm.origin !== this.#base.origin) {
      const message =
        `${this.#base.host} wants the password to go to ${realm.host}, which is another server; ` +
        `use the address that the service has as its --public-url`;
      throw new OversideError(401, "UNAUTHORIZED", message);
    }
    if (challenge.service !== undefined) realm.searchParams.set("service", challenge.service);
    for (const scope of challenge.scope.split(" ").filter(Boolean)) realm.searchParams.append("scope", scope);
    const answer = await this.#send(realm, { method: "GET", path: "", signal }, basic);
    if (!answer.ok) throw await refusal(answer, realm);
    const said = await readJson<{ token?: string; access_token?: string; expires_in?: number }>(answer, realm);
    const ends = Date.now() + (said.expires_in ?? DEFAULT_LIFETIME) * 1000;
    return { authorization: `Bearer ${said.token ?? said.access_token ?? ""}`, ends };
  }
}

async function readJson<T>(answer: Response, url: URL): Promise<T> {
  const text = await answer.text().catch((error: unknown) => {
    throw unreachable(url.href, error);
  });
  try {
    return JSON.parse(text) as T;
  } catch (cause) {
    const message = `${url.host} answered ${answer.status} with something else than JSON; is it an Overside server, and is there a proxy on the way?`;
    throw new OversideError(answer.status, "UNEXPECTED_ANSWER", message, { cause });
  }
}

/** Reads a `WWW-Authenticate`; one that is Basic alone has no realm to get a token from. */
function readChallenge(header: string | null): Challenge | undefined {
  if (header === null) return undefined;
  const parameter = (name: string) => new RegExp(`[ ,]${name}="([^"]*)"`, "i").exec(header)?.[1];
  if (!/^bearer /i.test(header)) return /^basic/i.test(header) ? { realm: "", service: undefined, scope: "" } : undefined;
  const realm = parameter("realm");
  return realm === undefined ? undefined : { realm, service: parameter("service"), scope: parameter("scope") ?? "" };
}

function basicAuthorization(username: string, password: string): string {
  const bytes = new TextEncoder().encode(`${username}:${password}`);
  return `Basic ${btoa(String.fromCharCode(...bytes))}`;
}
