import type { Connection } from "./connection.js";
import { OversideError } from "./errors.js";
import { midstatesBetween, type Hashed } from "./hash.js";
import { Parts } from "./parts.js";
import { Progress, type UploadProgress } from "./progress.js";
import type { Repository } from "./repository.js";
import { ENDED, type UploadResult, type UploadSession, type UploadState } from "./session.js";
import { sendSigned } from "./signed-put.js";
import type { Source } from "./source.js";
import type { FinalizeBody, UploadMode, UploadStatus } from "./wire.js";
import { platform } from "#platform";

export interface UploadOptions {
  /** What the upload is called in its state; a File's own name by default. */
  name?: string | undefined;
  /** Where it is known already. The file is then not hashed here: the server proves what it does not have yet. */
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
  /** Stops the upload, and deletes what has arrived; not what the server is proving already, which may be published. */
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
/** What deletes a failed upload may keep its caller waiting for so long, in milliseconds. The server lets it expire anyway. */
const LONGEST_ABORT = 5_000;
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
    this.#progress = new Progress(source.size, options.onProgress, (error) => this.#stop.abort(error));
    if (options.digest !== undefined) this.#progress.hashed(source.size);
  }

  async run(): Promise<UploadResult> {
    try {
      const result = (await this.#resume()) ?? (await this.#begin());
      this.#progress.done();
      this.#signal.throwIfAborted();
      return result;
    } finally {
      // Nothing of an upload goes on in the background.
      this.#stop.abort(over());
      await this.source.close();
    }
  }

  async #begin(): Promise<UploadResult> {
    const mode = this.#mode;
    const { size, name, lastModified } = this.source;
    // One PUT binds its digest into the URL, so that the store itself refuses other bytes. Parts need none before the end.
    const digest = this.#isOnePut(mode) ? await this.#digest() : this.options.digest;
    const existing = digest === undefined ? undefined : await this.repository.find(digest, this.#signal);
    if (existing !== undefined) {
      if (existing.size === size) return existing;
      const message = `${existing.digest} is a blob of ${existing.size} bytes, and the file has ${size}: that is not its digest`;
      throw new OversideError(400, "DIGEST_INVALID", message);
    }
    const session = await this.repository.begin({ size, digest, mode, name: this.options.name ?? name, lastModified }, this.#signal);
    this.#progress.restart();
    this.options.onState?.(session.state);
    return this.#cleaningUp(session, () => this.#sendAndFinalize(session, mode));
  }

  /** The blob, or nothing where another upload has to begin. */
  async #resume(): Promise<UploadResult | undefined> {
    const { resume } = this.options;
    if (resume === undefined || resume === null) return undefined;
    const session = this.repository.resume(resume);
    if (typeof resume !== "string") await this.#checkSame(resume);
    try {
      const status = await session.status(this.#signal);
      if (status.size !== undefined && status.size !== this.source.size) throw otherFile(status.size, this.source.size);
      if (status.mode === "proxied") {
        throw new OversideError(0, "UPLOAD_ENDED", "the bytes of this upload go through the server; begin another one");
      }
      if (status.status === "completed" && status.digest === (await this.#digest())) {
        return await this.repository.find(status.digest, this.#signal);
      }
      if (ENDED.includes(status.status)) return undefined;
      const [mode, isSent] = [status.mode ?? this.#mode, status.status === "finalizing"];
      return await this.#cleaningUp(session, () => this.#sendAndFinalize(session, mode, isSent));
    } catch (error) {
      if (!(error instanceof OversideError)) throw error;
      const isGone = [404, 410].includes(error.status);
      // The store kept other bytes than an earlier run sent, such as of a part that was cut.
      const isSpoilt = error.code === "DIGEST_INVALID" && this.options.digest === undefined;
      // It was begun in a way that cannot be gone on with.
      const isStuck = error.status === 400 && error.code === "BLOB_UPLOAD_INVALID";
      if (isStuck) await this.#delete(session);
      if (isGone || isSpoilt || isStuck) return undefined;
      throw error;
    }
  }

  async #checkSame({ size: expected, lastModified: then, digest }: UploadState): Promise<void> {
    const { size, lastModified } = this.source;
    const isOther = then !== undefined && lastModified !== undefined && Math.trunc(then) !== lastModified;
    if ((expected ?? size) !== size || isOther) throw otherFile(expected ?? size, size);
    // Of the same kind as is found here. Whatever else it is, the server proves it.
    const found = digest?.startsWith("sha256:") === true ? await this.#digest() : digest;
    if (found !== digest) throw otherFile(size, size);
  }

  /** Sends and finalizes; once more if the server then finds something missing. */
  async #sendAndFinalize(session: UploadSession, mode: UploadMode | undefined, isSent = false): Promise<UploadResult> {
    for (let tries = 1; ; tries++) {
      const body = isSent && tries === 1 ? {} : await this.#sendOnly(session, mode);
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

  /** Sends the bytes. Once one part has failed no other one is sent any more. */
  async #sendOnly(session: UploadSession, mode: UploadMode | undefined): Promise<FinalizeBody> {
    const stop = new AbortController();
    try {
      return await this.#send(session, mode, AbortSignal.any([this.#signal, stop.signal]));
    } finally {
      stop.abort(over());
    }
  }

  async #send(session: UploadSession, mode: UploadMode | undefined, signal: AbortSignal): Promise<FinalizeBody> {
    const { size } = this.source;
    const digest = session.state.digest ?? (this.#isOnePut(mode) ? await this.#digest() : undefined);
    const terms = { size, digest, mode };
    const given = session.takeSigned() ?? (await session.sign(terms, signal));
    const body = { source: this.source, signal, fetch: this.connection.fetch };
    if (given.mode === "multipart") {
      const hashing = this.options.digest === undefined ? this.#hash() : undefined;
      const parts = new Parts(session, given, { size, digest }, body, this.#progress);
      const [etags, hashed] = await Promise.all([parts.send(this.options.concurrency ?? 4), hashing]);
      const midstates = hashed === undefined ? [] : midstatesBetween(hashed, given.part_size, given.part_count);
      return {
        ...(etags === undefined ? {} : { parts: etags }),
        ...(midstates.length === 0 ? {} : { sha256_midstates: midstates }),
      };
    }
    const declared = { ...terms, digest: digest ?? (await this.#digest()) };
    const sign = async () => {
      const signed = await session.sign(declared, signal);
      if (signed.mode !== "put") throw new OversideError(0, "UNEXPECTED_ANSWER", "the server gave parts for one PUT");
      return signed;
    };
    // What was signed without the digest would let any bytes in.
    const first = digest === undefined ? await sign() : given;
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
      if (isAborted || isOver || isRefusedByStore) await this.#delete(session);
      if (!isRefusedByStore) throw error;
      const message = `the bytes are not those of ${session.state.digest ?? "the digest"}: ${error.message}; nothing was kept`;
      throw new OversideError(400, "DIGEST_INVALID", message, { detail: error.detail, cause: error });
    }
  }

  /** A failure of this would hide the one that led to it. */
  async #delete(session: UploadSession): Promise<void> {
    await session.abort(AbortSignal.timeout(LONGEST_ABORT)).catch(() => undefined);
  }

  /** No bytes have no parts. */
  get #mode(): UploadMode | undefined {
    return this.source.size === 0 ? "put" : this.options.mode;
  }

  /** Whether the server will ask for one PUT. */
  #isOnePut(mode: UploadMode | undefined): boolean {
    return mode === "put" || (mode === undefined && this.source.size < PARTS_FROM);
  }

  async #digest(): Promise<string> {
    return this.options.digest ?? (this.source.size === 0 ? EMPTY : (await this.#hash()).digest);
  }

  /** Hashes once, beside whatever else is done. */
  #hash(): Promise<Hashed> {
    if (this.#hashing === undefined) {
      this.#signal.throwIfAborted();
      const onHashed = (bytes: number) => this.#progress.hashed(bytes);
      const options = { workerUrl: this.connection.workerUrl, signal: this.#signal, onHashed };
      this.#hashing = platform.hash(this.source, options);
      // Whoever sends hears of it first.
      this.#hashing.catch(() => undefined);
    }
    return this.#hashing;
  }
}

function over(): OversideError {
  return new OversideError(0, "UPLOAD_ENDED", "the upload has ended");
}

function otherFile(expected: number, size: number): OversideError {
  const why = expected === size ? "it was changed since" : `it has ${size} bytes and not ${expected}`;
  return new OversideError(0, "OTHER_FILE", `this is not the file that the upload was begun with: ${why}; choose that one`);
}
