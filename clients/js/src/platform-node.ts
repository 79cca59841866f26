import { Worker } from "node:worker_threads";
import { unreachable } from "./errors.js";
import { fileSource } from "./file-source.js";
import { hashIn } from "./hash-thread.js";
import { hashSource, type Hashed } from "./hash.js";
import type { HashOptions, Platform, Put, PutAnswer, SourceInput } from "./platform.js";
import { blobSource, pieces, type Source } from "./source.js";

async function open(input: SourceInput): Promise<Source> {
  if (input instanceof Blob) return blobSource(input);
  if (input instanceof Uint8Array) return blobSource(new Blob([input]));
  return fileSource(input);
}

async function hash(source: Source, options: HashOptions): Promise<Hashed> {
  const { handle, size, lastModified } = source;
  let worker: Worker;
  try {
    // Flags of the caller's process, such as --input-type, may be none for a file.
    const threadOptions = { workerData: { handle, size, lastModified }, execArgv: [] };
    worker = new Worker(new URL("./worker-node.js", import.meta.url), threadOptions);
  } catch (error) {
    // Only a Blob can be one that no other thread takes, as those of fs.openAsBlob.
    if (typeof handle === "string") throw error;
    return hashSource(source, (bytes) => {
      options.signal.throwIfAborted();
      options.onHashed(bytes);
    });
  }
  const listen = (onMessage: (message: unknown) => void, onFailure: (error: unknown) => void) => {
    worker.on("message", onMessage).on("error", onFailure);
  };
  return hashIn({ listen, terminate: () => worker.terminate() }, options);
}

async function put({ url, headers, source, offset, size, signal, onSent, fetch: send }: Put): Promise<PutAnswer> {
  let failure: unknown;
  onSent(0);
  const read = async function* () {
    try {
      yield* pieces(source, offset, size, onSent);
    } catch (error) {
      // What went wrong with the file would be told as a broken connection.
      failure = error;
      throw error;
    }
  };
  // Stores refuse a body of unknown length.
  const lengthSaid = { ...headers, "content-length": String(size) };
  const body = size === 0 ? new Uint8Array() : (read() as unknown as BodyInit);
  try {
    // `duplex` is what a body that is read while it is sent needs (WHATWG Fetch); the types do not know it.
    const init = { method: "PUT", headers: lengthSaid, body, duplex: "half", signal } as RequestInit;
    const answer = await send(url, init);
    const text = await answer.text();
    return { status: answer.status, etag: answer.headers.get("etag"), retryAfter: answer.headers.get("retry-after"), body: text };
  } catch (error) {
    signal.throwIfAborted();
    throw failure ?? unreachable(url, error);
  }
}

export const platform: Platform = { open, hash, put };
