import { Connection, type OversideOptions } from "./connection.js";
import { Repository } from "./repository.js";

/** A client of one Overside service, in a browser or in Node. */
export class Overside {
  readonly #connection: Connection;

  constructor(options: OversideOptions) {
    this.#connection = new Connection(options);
  }

  repository(name: string): Repository {
    return new Repository(this.#connection, name);
  }
}

export type { Credentials, OversideOptions } from "./connection.js";
export type { DownloadOptions } from "./download.js";
export { OversideError } from "./errors.js";
export type { SourceInput } from "./platform.js";
export type { UploadProgress } from "./progress.js";
export { Repository, type BeginOptions } from "./repository.js";
export { UploadSession, type SignTerms, type UploadResult, type UploadState } from "./session.js";
export type { UploadOptions } from "./upload.js";
export type { FinalizeBody, Signed, SignedPart, SignedParts, SignedPut, UploadMode, UploadStatus } from "./wire.js";
