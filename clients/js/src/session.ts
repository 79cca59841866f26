import type { Connection } from "./connection.js";
import { OversideError } from "./errors.js";
import { checkRepository, checkUuid } from "./names.js";
import { byChance, mayPass, pause } from "./retry.js";
import type { FinalizeBody, Signed, UploadMode, UploadStatus } from "./wire.js";

/** What it takes to go on with an upload, from another page load or another machine: plain JSON, and nothing secret. */
export interface UploadState {
  uuid: string;
  repository: string;
  /** In bytes. */
  size?: number;
  name?: string;
  lastModified?: number;
  digest?: string;
}

export interface UploadResult {
  digest: string;
  /** In bytes. */
  size: number;
  /** Where the blob is to be had. */
  location: string;
}

/** What the server is asked to sign requests for. */
export interface SignTerms {
  size?: number | undefined;
  digest?: string | undefined;
  mode?: UploadMode | undefined;
  /** `FIRST-LAST`; else the next that have not arrived. */
  parts?: string | undefined;
}

/** The first wait between two polls of a finalizing upload, in milliseconds. It doubles. */
const FIRST_POLL = 50;
const LONGEST_POLL = 2_000;
/** After so long the finalize is requested again: if whoever runs it has died, our request takes over. */
const FINALIZE_AGAIN = 30_000;
/** A finalize that has told no progress for so long is not waited for any more. */
const FINALIZE_STALL = 15 * 60_000;

/** What an upload can be in that ends no other way any more. */
export const ENDED: readonly UploadStatus["status"][] = ["completed", "failed", "aborted", "expired"];

/** An upload on the server: the presign protocol, request by request. */
export class UploadSession {
  readonly #connection: Connection;
  readonly state: UploadState;
  /** URLs that let anybody write: nobody is to print them by chance. */
  #signed: Signed | undefined;

  constructor(connection: Connection, state: UploadState, signed?: Signed) {
    checkRepository(state.repository);
    checkUuid(state.uuid);
    this.#connection = connection;
    this.state = state;
    this.#signed = signed;
  }

  /** What the server signed when the upload began, once. */
  takeSigned(): Signed | undefined {
    const signed = this.#signed;
    this.#signed = undefined;
    return signed;
  }

  /** Where the bytes go, and what has arrived. Asking again signs anew. */
  async sign(terms: SignTerms = {}, signal?: AbortSignal): Promise<Signed> {
    const query = { presigned: "true", ...terms };
    return (await this.#connection.json<Signed>({ method: "GET", path: this.#path, query, signal })).said;
  }

  async status(signal?: AbortSignal): Promise<UploadStatus> {
    const headers = { accept: "application/json" };
    return (await this.#connection.json<UploadStatus>({ method: "GET", path: this.#path, headers, signal })).said;
  }

  /** Deletes all that has arrived. An upload that has ended is fine. */
  async abort(signal?: AbortSignal): Promise<void> {
    try {
      await this.#connection.call({ method: "DELETE", path: this.#path, signal });
    } catch (error) {
      if (!(error instanceof OversideError) || error.status === 0) throw error;
      if ([404, 410].includes(error.status)) return;
      // The refusal of one that has failed is that failure.
      const { status } = await this.status(signal);
      if (!ENDED.includes(status)) throw error;
    }
  }

  /** Has the server prove and publish the bytes, and waits for that. `INCOMPLETE` where some have not arrived. */
  async finalize(
    digest: string,
    body: FinalizeBody = {},
    options: { signal?: AbortSignal | undefined; onStatus?: (status: UploadStatus) => void } = {},
  ): Promise<UploadResult> {
    let told = "";
    let toldAt = Date.now();
    let wait = FIRST_POLL;
    for (let hints = body; ; hints = {}) {
      const refused = await this.#requestFinalize(digest, hints, options.signal);
      if (refused === "done") return this.result(digest, this.state.size ?? (await this.status(options.signal)).size);
      const until = Date.now() + FINALIZE_AGAIN;
      while (Date.now() < until) {
        const status = await this.status(options.signal);
        if (status.status === "completed") {
          if (status.digest === undefined || status.digest === digest) return this.result(digest, status.size);
          throw new OversideError(400, "DIGEST_INVALID", `the upload was finalized as ${status.digest} and not as ${digest}`);
        }
        if (status.status === "pending" || status.status === "uploading") {
          const message = "some of the bytes have not arrived; resume the upload to send them";
          throw refused ?? new OversideError(0, "INCOMPLETE", message);
        }
        if (status.status !== "finalizing") throw ended(status);
        options.onStatus?.(status);
        if (JSON.stringify(status.progress) !== told) [told, toldAt] = [JSON.stringify(status.progress), Date.now()];
        if (Date.now() - toldAt > FINALIZE_STALL) {
          throw new OversideError(0, "STALLED", "the server has told no progress for a quarter of an hour; resume later");
        }
        await pause(byChance(wait), options.signal);
        wait = Math.min(wait * 2, LONGEST_POLL);
      }
    }
  }

  result(digest: string, size = this.state.size ?? 0): UploadResult {
    return { digest, size, location: new URL(`v2/${this.state.repository}/blobs/${digest}`, this.#connection.url).href };
  }

  /** `done`; or nothing where the server goes on by itself; or why not, where another request may be at work. */
  async #requestFinalize(digest: string, hints: FinalizeBody, signal?: AbortSignal): Promise<"done" | OversideError | undefined> {
    // No request is open for as long as a proof takes, so that no time limit on the way cuts it.
    const call = { method: "PUT", path: this.#path, query: { digest }, headers: { prefer: "respond-async" }, signal };
    const hinted = { ...call, headers: { ...call.headers, "content-type": "application/json" }, body: JSON.stringify(hints) };
    try {
      // Where nothing was sent to the store any body would be taken for the blob.
      const answer = await this.#connection.call(Object.keys(hints).length === 0 ? call : hinted);
      return answer.status === 201 ? "done" : undefined;
    } catch (error) {
      if (error instanceof OversideError && (mayPass(error) || error.status === 409)) return error;
      throw error;
    }
  }

  get #path(): string {
    return `v2/${this.state.repository}/blobs/uploads/${this.state.uuid}`;
  }
}

/** The error for an upload in which nothing can be sent any more. */
function ended({ status, failure }: UploadStatus): OversideError {
  if (failure !== undefined) return new OversideError(400, failure.code, failure.message);
  return new OversideError(0, "UPLOAD_ENDED", `the upload is ${status}; begin another one`);
}
