import type { Connection } from "./connection.js";
import { download, type DownloadOptions } from "./download.js";
import { OversideError } from "./errors.js";
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
  constructor(
    private readonly connection: Connection,
    readonly name: string,
  ) {
    if (!/^[a-z0-9._/-]+$/.test(name)) throw new TypeError(`${name} is no repository: write it like team/app, in small letters`);
  }

  /** Uploads a file: hashed beside the caller's thread, sent straight to the store, proven by the server. */
  async upload(input: SourceInput, options: UploadOptions = {}): Promise<UploadResult> {
    options.signal?.throwIfAborted();
    return new Upload(this.connection, this, await platform.open(input), options).run();
  }

  /** Begins an upload for whoever sends its bytes by other means. */
  async begin({ size, digest, mode, name, lastModified }: BeginOptions, signal?: AbortSignal): Promise<UploadSession> {
    const ofNothing = digest !== undefined && OF_NOTHING.test(digest);
    const query = ofNothing ? {} : { presigned: "true", size, digest, mode };
    const answer = await this.connection.call({ method: "POST", path: `v2/${this.name}/blobs/uploads/`, query, signal });
    const uuid = answer.headers.get("upload-uuid") ?? answer.headers.get("docker-upload-uuid");
    if (uuid === null || answer.headers.get("overside-presigned-uploads") === null) {
      const message = `${new URL(this.connection.url).host} gives no presigned URLs; is it an Overside server?`;
      throw new OversideError(answer.status, "UNEXPECTED_ANSWER", message);
    }
    const state: UploadState = {
      uuid,
      repository: this.name,
      size,
      ...(name === undefined ? {} : { name }),
      ...(lastModified === undefined ? {} : { lastModified }),
      ...(digest === undefined ? {} : { digest }),
    };
    return new UploadSession(this.connection, state, ofNothing ? undefined : ((await answer.json()) as Signed));
  }

  /** An upload that was begun before, here or elsewhere, by its state or its UUID: to ask for its status, to finalize or to abort it. */
  resume(upload: UploadState | string): UploadSession {
    const state = typeof upload === "string" ? { uuid: upload, repository: this.name } : upload;
    if (state.repository !== this.name) throw new TypeError(`the upload is one of ${state.repository}, not of ${this.name}`);
    return new UploadSession(this.connection, state);
  }

  /** A blob's bytes. The stream fails at its end if they are not those of the digest. */
  async download(digest: string, options: DownloadOptions = {}): Promise<ReadableStream<Uint8Array>> {
    return download(this.connection, `v2/${this.name}/blobs/${digest}`, digest, options);
  }

  /** A blob's size and place, if the repository has it. */
  async find(digest: string, signal?: AbortSignal): Promise<UploadResult | undefined> {
    try {
      const answer = await this.connection.call({ method: "HEAD", path: `v2/${this.name}/blobs/${digest}`, signal });
      const location = new URL(`v2/${this.name}/blobs/${digest}`, this.connection.url).href;
      return { digest, size: Number(answer.headers.get("content-length")), location };
    } catch (error) {
      if (error instanceof OversideError && error.status === 404) return undefined;
      throw error;
    }
  }
}
