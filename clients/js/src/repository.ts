import type { Connection } from "./connection.js";
import { download, type DownloadOptions } from "./download.js";
import { OversideError } from "./errors.js";
import { checkDigest, checkRepository } from "./names.js";
import type { SourceInput } from "./platform.js";
import { UploadSession, type UploadResult, type UploadState } from "./session.js";
import { Upload, type UploadOptions } from "./upload.js";
import type { Signed, UploadMode } from "./wire.js";
import { platform } from "#platform";

/** What is said of an upload when it begins. */
export interface BeginOptions {
  /** In bytes. */
  size: number;
  digest?: string | undefined;
  mode?: UploadMode | undefined;
  name?: string | undefined;
  lastModified?: number | undefined;
}

/** SHA-256 of no bytes: a request to begin that names it is a whole upload, and leaves nothing to go on with. */
const OF_NOTHING = /^sha256:e3b0c44298fc1c14|^sha512:cf83e1357eefb8bd/;

/** Blobs of one repository, such as `team/app`. */
export class Repository {
  readonly #connection: Connection;
  readonly name: string;

  constructor(connection: Connection, name: string) {
    checkRepository(name);
    this.#connection = connection;
    this.name = name;
  }

  /** Uploads a file: hashed beside the caller's thread, sent straight to the store, proven by the server. */
  async upload(input: SourceInput, options: UploadOptions = {}): Promise<UploadResult> {
    options.signal?.throwIfAborted();
    const { digest, concurrency = 1 } = options;
    if (digest !== undefined) checkDigest(digest);
    if (!Number.isSafeInteger(concurrency) || concurrency < 1) {
      throw new TypeError(`concurrency is a whole number of 1 or more, not ${concurrency}`);
    }
    return new Upload(this.#connection, this, await platform.open(input), options).run();
  }

  /** Begins an upload for whoever sends its bytes by other means. */
  async begin({ size, digest, mode, name, lastModified }: BeginOptions, signal?: AbortSignal): Promise<UploadSession> {
    const ofNothing = digest !== undefined && OF_NOTHING.test(digest);
    const call = { method: "POST", path: `v2/${this.name}/blobs/uploads/`, signal };
    const { headers, said } = ofNothing
      ? { headers: (await this.#connection.call(call)).headers, said: undefined }
      : await this.#connection.json<Signed>({ ...call, query: { presigned: "true", size, digest, mode } });
    const uuid = headers.get("upload-uuid") ?? headers.get("docker-upload-uuid");
    if (uuid === null || headers.get("overside-presigned-uploads") === null) {
      const message = `${new URL(this.#connection.url).host} gives no presigned URLs; is it an Overside server?`;
      throw new OversideError(0, "UNEXPECTED_ANSWER", message);
    }
    const state: UploadState = {
      uuid,
      repository: this.name,
      size,
      ...(name === undefined ? {} : { name }),
      ...(lastModified === undefined ? {} : { lastModified }),
      ...(digest === undefined ? {} : { digest }),
    };
    return new UploadSession(this.#connection, state, said);
  }

  /** An upload that was begun before, here or elsewhere, by its state or its UUID: to ask for its status, to finalize or to abort it. */
  resume(upload: UploadState | string): UploadSession {
    const state = typeof upload === "string" ? { uuid: upload, repository: this.name } : upload;
    if (state.repository !== this.name) throw new TypeError(`the upload is one of ${state.repository}, not of ${this.name}`);
    return new UploadSession(this.#connection, state);
  }

  /** A blob's bytes. The stream fails at its end if they are not those of the digest. */
  async download(digest: string, options: DownloadOptions = {}): Promise<ReadableStream<Uint8Array>> {
    checkDigest(digest);
    return download(this.#connection, `v2/${this.name}/blobs/${digest}`, digest, options);
  }

  /** A blob's size and place, if the repository has it. */
  async find(digest: string, signal?: AbortSignal): Promise<UploadResult | undefined> {
    checkDigest(digest);
    const path = `v2/${this.name}/blobs/${digest}`;
    try {
      const answer = await this.#connection.call({ method: "HEAD", path, signal });
      const size = answer.headers.get("content-length");
      const location = new URL(path, this.#connection.url).href;
      if (size !== null) return { digest, size: Number(size), location };
      const message = `the size of ${digest} is not in the answer; is there a proxy on the way that leaves out Content-Length?`;
      throw new OversideError(0, "UNEXPECTED_ANSWER", message);
    } catch (error) {
      if (error instanceof OversideError && error.status === 404) return undefined;
      throw error;
    }
  }
}
