import type { Hashed } from "./hash.js";
import type { Source } from "./source.js";

/** A file to upload: in browsers a Blob or File, in Node also a path, a Buffer or a Uint8Array. */
export type SourceInput = Blob | string | URL | Uint8Array<ArrayBuffer>;

/** A body for the store: these bytes of a source, with exactly these headers. */
export interface Put {
  url: string;
  headers: Record<string, string>;
  source: Source;
  offset: number;
  size: number;
  signal: AbortSignal;
  /** Told how many bytes are on their way; none as soon as it is this body's turn. */
  onSent: (bytes: number) => void;
  fetch: typeof fetch;
}

/** The store's answer. */
export interface PutAnswer {
  status: number;
  etag: string | null;
  retryAfter: string | null;
  body: string;
}

export interface HashOptions {
  workerUrl: string | URL | undefined;
  signal: AbortSignal;
  onHashed: (bytes: number) => void;
}

/** What browsers and Node do differently. */
export interface Platform {
  open(input: SourceInput): Promise<Source>;
  /** Hashes beside the calling thread. */
  hash(source: Source, options: HashOptions): Promise<Hashed>;
  /** Sends a body. Fails with what the network did; every answer is an answer. */
  put(put: Put): Promise<PutAnswer>;
}
