import type { Connection } from "./connection.js";
import { OversideError } from "./errors.js";
import { midstatesBetween, type Hashed } from "./hash.js";
import { Parts } from "./parts.js";
import { Progress, type UploadProgress } from "./progress.js";
import type { Repository } from "./repository.js";
import type { UploadResult, UploadSession, UploadState } from "./session.js";
import { sendSigned } from "./signed-put.js";
import type { Source } from "./source.js";
import type { FinalizeBody, UploadMode, UploadStatus } from "./wire.js";
import { platform } from "#platform";

export interface UploadOptions {
  /** What the upload is called in its state; a File's own name by default. */
  name?: string | undefined;
  /** Where it is known already. The file is then not hashed here, and the server proves it all the same. */
  digest?: string | undefined;
  /** The server decides by the size if this is not given. Parts can be resumed. */
  mode?: UploadMode | undefined;
  /** Parts that are sent at a time: 4 by default. */
  concurrency?: number | undefined;
  onProgress?: ((progress: UploadProgress) => void) | undefined;
  /** Told once there is something to resume; keep it, such as in `localStorage`. */
  onState?: ((state: UploadState) => void) | undefined;
  /** Told while the server proves the bytes. */
  onStatus?: ((status: UploadStatus) => void) | undefined;
  /** Stops the upload, and deletes what has arrived. */
  signal?: AbortSignal | undefined;
  /** A stopped upload is left on the server to be resumed, until it expires there. */
  keepOnAbort?: boolean | undefined;
  /** What `onState` told, or an upload's UUID. If nothing is left of that upload another one begins. */
  resume?: UploadState | string | null | undefined;
}

/** Below this the server takes one PUT, whose digest it wants before (docs/protocol.md). In bytes. */
const PARTS_FROM = 100 * 1024 * 1024;
/** How stores call bytes that are not those of the checksum in the URL. */
const DIGEST_REFUSED = ["BadDigest", "XAmzContentChecksumMismatch", "InvalidDigest", "DIGEST_INVALID"];
const EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** One upload from its beginning, or from where it was stopped, to the published blob. */
export class Upload {
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #progress: Progress;
  #hashing: Promise<Hashed> | undefined;

  constructor(
    private readonly connection: Connection,
    private readonly repository: Repository,
    private readonly source: Source,
    private readonly options: UploadOptions,
  ) {
    this.#signal = AbortSignal.any([this.#stop.signal, ...(options.signal ? [options.signal] : [])]);
    this.#progress = new Progress(source.size, options.onProgress);
    if (options.digest !== undefined) this.#progress.hashed(source.size);
  }

  async run(): Promise<UploadResult> {
    try {
      const result = (await this.#resume()) ?? (await this.#begin());
      this.#progress.done();
      return result;
    } finally {
      // Nothing of a failed upload goes on in the background.
      this.#stop.abort(new OversideError(0, "UPLOAD_ENDED", "the upload has ended"));
    }
  }

  async #begin(): Promise<UploadResult> {
    const mode = this.#mode;
    const { size, name, lastModified } = this.source;
    const isOnePut = mode === "put" || (mode === undefined && size < PARTS_FROM);
    // One PUT binds its digest into the URL, so that the store itself refuses other bytes. Parts need none before the end.
    const digest = isOnePut ? await this.#digest() : this.options.digest;
    const existing = digest === undefined ? undefined : await this.repository.find(digest, this.#signal);
    if (existing !== undefined) return existing;
    const session = await this.repository.begin({ size, digest, mode, name: this.options.name ?? name, lastModified }, this.#signal);
    this.options.onState?.(session.state);
    return this.#cleaningUp(session, () => this.#sendAndFinalize(session));
  }

  async #resume(): Promise<UploadResult | undefined> {
    const { resume } = this.options;
    if (resume === undefined || resume === null) return undefined;
    if (typeof resume !== "string") this.#checkSame(resume);
    const session = this.repository.resume(resume);
    try {
      const status = await session.status(this.#signal);
      if (status.size !== undefined && status.size !== this.source.size) throw otherFile(status.size, this.source.size);
      if (status.mode === "proxied") {
        throw new OversideError(0, "UPLOAD_ENDED", "the bytes of this upload go through the server; begin another one");
      }
      if (status.status === "completed" && status.digest === (await this.#digest())) return session.result(status.digest, status.size);
      if (["completed", "failed", "aborted", "expired"].includes(status.status)) return undefined;
      const isSent = status.status === "finalizing";
      return await this.#cleaningUp(session, () => this.#sendAndFinalize(session, isSent));
    } catch (error) {
      const isGone = error instanceof OversideError && [404, 410].includes(error.status);
      // The store kept other bytes than an earlier run sent, such as of a part that was cut.
      const isSpoilt = error instanceof OversideError && error.code === "DIGEST_INVALID" && this.options.digest === undefined;
      if (isGone || isSpoilt) return undefined;
      throw error;
    }
  }

  #checkSame(state: UploadState): void {
    const { size, lastModified } = this.source;
    const isOther = state.lastModified !== undefined && lastModified !== undefined && state.lastModified !== lastModified;
    if ((state.size ?? size) !== size || isOther) throw otherFile(state.size ?? size, size);
  }

  /** Sends and finalizes; once more if the server then finds something missing. */
  async #sendAndFinalize(session: UploadSession, isSent = false): Promise<UploadResult> {
    for (let tries = 1; ; tries++) {
      const body = isSent && tries === 1 ? {} : await this.#send(session);
      try {
        return await this.#finalize(session, body);
      } catch (error) {
        const isIncomplete = error instanceof OversideError && ["INCOMPLETE", "BLOB_UPLOAD_INVALID"].includes(error.code);
        if (!isIncomplete || tries > 1) throw error;
      }
    }
  }

  async #finalize(session: UploadSession, body: FinalizeBody): Promise<UploadResult> {
    const digest = await this.#digest();
    await this.source.checkUnchanged();
    return session.finalize(digest, body, { signal: this.#signal, onStatus: (status) => this.options.onStatus?.(status) });
  }

  async #send(session: UploadSession): Promise<FinalizeBody> {
    const { size } = this.source;
    const terms = { size, digest: session.state.digest, mode: this.#mode };
    const given = session.takeSigned() ?? (await session.sign(terms, this.#signal));
    const body = { source: this.source, signal: this.#signal, fetch: this.connection.fetch };
    if (given.mode === "multipart") {
      const hashing = this.options.digest === undefined ? this.#hash() : undefined;
      const parts = new Parts(session, given, { size, digest: session.state.digest }, body, this.#progress);
      const [etags, hashed] = await Promise.all([parts.send(this.options.concurrency ?? 4), hashing]);
      const midstates = hashed === undefined ? [] : midstatesBetween(hashed, given.part_size, given.part_count);
      return {
        ...(etags === undefined ? {} : { parts: etags }),
        ...(midstates.length === 0 ? {} : { sha256_midstates: midstates }),
      };
    }
    const declared = { ...terms, digest: await this.#digest() };
    const sign = async () => {
      const signed = await session.sign(declared, this.#signal);
      if (signed.mode !== "put") throw new OversideError(0, "UNEXPECTED_ANSWER", "the server gave parts for one PUT");
      return signed;
    };
    // What was signed without the digest would let any bytes in.
    const first = session.state.digest === undefined ? await sign() : given;
    const onSent = (bytes: number) => this.#progress.sent(1, bytes);
    await sendSigned({ ...body, offset: 0, size, onSent }, first, sign);
    return {};
  }

  /** What can go on stays on the server; what cannot is deleted. */
  async #cleaningUp(session: UploadSession, work: () => Promise<UploadResult>): Promise<UploadResult> {
    try {
      return await work();
    } catch (error) {
      const isAborted = this.options.signal?.aborted === true && this.options.keepOnAbort !== true;
      const isRefusedByStore =
        error instanceof OversideError && error.code === "STORE_REFUSED" && DIGEST_REFUSED.includes(String(error.detail));
      const isOver = error instanceof OversideError && ["FILE_CHANGED", "DIGEST_INVALID"].includes(error.code);
      // Its own failure would hide the one that led here; the server lets the upload expire.
      if (isAborted || isOver || isRefusedByStore) await session.abort().catch(() => undefined);
      if (!isRefusedByStore) throw error;
      const message = `the bytes are not those of ${session.state.digest ?? "the digest"}: ${error.message}; nothing was kept`;
      throw new OversideError(400, "DIGEST_INVALID", message, { detail: error.detail, cause: error });
    }
  }

  /** No bytes have no parts. */
  get #mode(): UploadMode | undefined {
    return this.source.size === 0 ? "put" : this.options.mode;
  }

  async #digest(): Promise<string> {
    return this.options.digest ?? (this.source.size === 0 ? EMPTY : (await this.#hash()).digest);
  }

  /** Hashes once, beside whatever else is done. */
  #hash(): Promise<Hashed> {
    if (this.#hashing === undefined) {
      const onHashed = (bytes: number) => this.#progress.hashed(bytes);
      const options = { workerUrl: this.connection.workerUrl, signal: this.#signal, onHashed };
      this.#hashing = platform.hash(this.source, options);
      // Whoever sends hears of it first.
      this.#hashing.catch(() => undefined);
    }
    return this.#hashing;
  }
}

function otherFile(expected: number, size: number): OversideError {
  const why = expected === size ? "it was changed since" : `it has ${size} bytes and not ${expected}`;
  return new OversideError(0, "OTHER_FILE", `this is not the file that the upload was begun with: ${why}; choose that one`);
}
