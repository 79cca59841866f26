/** An answer that says no, or none at all. `code` is for programs, `message` for people. */
export class OversideError extends Error {
  /** The HTTP status, or 0 where no answer came. */
  readonly status: number;
  /**
   * One of the registry's codes, such as `DIGEST_INVALID` or `DENIED`, or one of the client's own: `UNREACHABLE`, `STALLED`,
   * `STORE_REFUSED`, `FILE_CHANGED`, `OTHER_FILE`, `INCOMPLETE`, `UPLOAD_ENDED`,
   * `DIGEST_MISMATCH`, `NO_WORKER`, `UNEXPECTED_ANSWER`.
   */
  readonly code: string;
  /** What the registry says besides, such as the digests that a manifest refers to in vain; of a store, its own code. */
  readonly detail: unknown;
  /** How long the other side asks to wait, in milliseconds. */
  readonly retryAfter: number | undefined;

  constructor(
    status: number,
    code: string,
    message: string,
    more: { detail?: unknown; retryAfter?: number | undefined; cause?: unknown } = {},
  ) {
    super(message, "cause" in more ? { cause: more.cause } : {});
    this.name = "OversideError";
    this.status = status;
    this.code = code;
    this.detail = more.detail;
    this.retryAfter = more.retryAfter;
  }
}

/** Codes of answers without a body, such as those to `HEAD`. */
const CODES: Record<number, string> = { 401: "UNAUTHORIZED", 403: "DENIED", 404: "BLOB_UNKNOWN", 429: "TOOMANYREQUESTS" };

/** The error of a registry's answer: an OCI envelope, or whatever a proxy on the way says. */
export async function refusal(answer: Response, url: string | URL): Promise<OversideError> {
  const { host } = new URL(answer.url || url);
  const said: unknown = await answer.json().catch(() => undefined);
  const entry = (said as { errors?: { code?: unknown; message?: unknown; detail?: unknown }[] } | undefined)?.errors?.[0];
  const code = typeof entry?.code === "string" ? entry.code : (CODES[answer.status] ?? "UNEXPECTED_ANSWER");
  const message = typeof entry?.message === "string" ? entry.message : `${host} answered ${answer.status}`;
  return new OversideError(answer.status, code, message, {
    detail: entry?.detail,
    retryAfter: retryAfter(answer.headers.get("retry-after")),
  });
}

/** The error of a store's answer, which is S3's XML or the registry's own envelope. No URL is named: it is signed. */
export function storeRefusal(host: string, status: number, body: string, wait: string | null): OversideError {
  const code = /<Code>([\w.]{1,60})<\/Code>/.exec(body)?.[1] ?? /"code":"(\w{1,60})"/.exec(body)?.[1];
  const message = `the store at ${host} refused the bytes: ${status}${code === undefined ? "" : ` ${code}`}`;
  return new OversideError(status, "STORE_REFUSED", message, { detail: code, retryAfter: retryAfter(wait) });
}

export function unreachable(url: string, cause: unknown): OversideError {
  const { host } = new URL(url);
  const page = (globalThis as { location?: { origin: string } }).location;
  const message =
    page === undefined
      ? `${host} was not reached, or the connection broke; check the address and the network`
      : `${host} was not reached, or does not let pages of ${page.origin} call it: ` +
        "check the service's --cors-origin, the bucket's CORS rules and this page's connect-src";
  return new OversideError(0, "UNREACHABLE", message, { cause });
}

/** `Retry-After` in milliseconds: seconds or a date (RFC 9110 §10.2.3). */
function retryAfter(text: string | null): number | undefined {
  if (text === null || text.trim() === "") return undefined;
  const wait = /^\d+$/.test(text.trim()) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isNaN(wait) ? undefined : Math.max(0, wait);
}
