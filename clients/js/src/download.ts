import type { Connection } from "./connection.js";
import { OversideError, refusal, unreachable } from "./errors.js";
import { hashFor } from "./hash.js";
import { mayPass, Retry } from "./retry.js";

export interface DownloadOptions {
  /** The first byte. What begins later than 0 or ends earlier than the blob cannot be verified. */
  start?: number | undefined;
  /** The byte after the last one. */
  end?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** A blob's bytes. A connection that breaks is followed by another one, which goes on where it stopped. */
export async function download(
  connection: Connection,
  path: string,
  digest: string,
  options: DownloadOptions,
): Promise<ReadableStream<Uint8Array>> {
  const { start = 0, end, signal } = options;
  const hash = start === 0 && end === undefined ? await hashFor(digest) : undefined;
  let offset = start;
  let size: number | undefined;
  let retry = new Retry(signal);

  const connect = async () => {
    const range = offset > 0 || end !== undefined ? { range: `bytes=${offset}-${end === undefined ? "" : end - 1}` } : {};
    const answer = await connection.call({ method: "GET", path, headers: range, signal });
    const isPart = answer.status === 206;
    if ("range" in range && !isPart) throw new OversideError(0, "UNEXPECTED_ANSWER", "the server gave all bytes for some");
    const length = answer.headers.get("content-length");
    if (length !== null && size === undefined) size = offset + Number(length);
    if (answer.body === null) throw await refusal(answer, connection.url);
    return { reader: answer.body.getReader(), url: answer.url || connection.url };
  };

  let from = await connect();
  const pull = async (controller: ReadableStreamDefaultController<Uint8Array>) => {
    while (size === undefined || offset < size) {
      try {
        const { value } = await from.reader.read().catch((error: unknown) => {
          throw unreachable(from.url, error);
        });
        if (value !== undefined) {
          offset += value.byteLength;
          hash?.update(value);
          retry = new Retry(signal);
          controller.enqueue(value);
          return;
        }
        if (size === undefined) break;
        throw unreachable(from.url, undefined);
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof OversideError) || !mayPass(error)) throw error;
        await retry.after(error);
        from = await connect();
      }
    }
    const found = hash?.digest();
    if (found !== undefined && found !== digest) {
      const message = `what arrived is ${found} and not ${digest}; discard it and download again`;
      throw new OversideError(0, "DIGEST_MISMATCH", message);
    }
    controller.close();
  };
  return new ReadableStream({ pull, cancel: (reason) => from.reader.cancel(reason) }, { highWaterMark: 0 });
}
