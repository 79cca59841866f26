import type { Connection } from "./connection.js";
import { OversideError, unreachable } from "./errors.js";
import { hashFor } from "./hash.js";
import { mayPass, Retry } from "./retry.js";
import { TimeLimit } from "./time-limit.js";

export interface DownloadOptions {
  /** The first byte. What begins later than 0 or ends earlier than the blob cannot be verified. */
  start?: number | undefined;
  /** The byte after the last one. */
  end?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** No byte arrives for so long though one is waited for: the connection is dead. In milliseconds. */
const STALL = 60_000;

/** A blob's bytes. A connection that breaks is followed by another one, which goes on where it stopped. */
export async function download(
  connection: Connection,
  path: string,
  digest: string,
  options: DownloadOptions,
): Promise<ReadableStream<Uint8Array>> {
  const { start = 0, end } = options;
  const isRange = Number.isSafeInteger(start) && start >= 0 && (end === undefined || (Number.isSafeInteger(end) && end >= start));
  if (!isRange) throw new TypeError(`bytes ${start} to ${end} are no range: give whole numbers, the end not before the start`);
  if (start === end) return new ReadableStream({ start: (controller) => controller.close() });
  const hash = start === 0 && end === undefined ? await hashFor(digest) : undefined;
  const cancelled = new AbortController();
  const signal = AbortSignal.any([cancelled.signal, ...(options.signal ? [options.signal] : [])]);
  let offset = start;
  let size: number | undefined;
  let retry = new Retry(signal);

  const connect = async () => {
    const limit = new TimeLimit("no byte of the blob arrives; check the network", signal);
    const headers = offset > 0 || end !== undefined ? { range: `bytes=${offset}-${end === undefined ? "" : end - 1}` } : {};
    const answer = await connection.call({ method: "GET", path, headers, signal: limit.signal });
    // A browser shows this one only where the answer's CORS rules expose it.
    const first = /^bytes (\d+)-/.exec(answer.headers.get("content-range") ?? `bytes ${offset}-`)?.[1];
    const isAsked = !("range" in headers) || (answer.status === 206 && Number(first) === offset);
    if (answer.body === null || !isAsked) {
      await answer.body?.cancel();
      throw new OversideError(0, "UNEXPECTED_ANSWER", "the server gave other bytes than were asked for");
    }
    // What was compressed on the way has the length of that.
    const length = answer.headers.has("content-encoding") ? null : answer.headers.get("content-length");
    if (length !== null) size ??= offset + Number(length);
    return { reader: answer.body.getReader(), url: answer.url || connection.url, limit };
  };
  const read = async ({ reader, url, limit }: Awaited<ReturnType<typeof connect>>) => {
    try {
      limit.start(STALL);
      return (await reader.read()).value;
    } catch (error) {
      limit.signal.throwIfAborted();
      throw unreachable(url, error);
    } finally {
      limit.end();
    }
  };

  let from = await connect();
  const pull = async (controller: ReadableStreamDefaultController<Uint8Array>) => {
    while (size === undefined || offset < size) {
      try {
        const value = await read(from);
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
        signal.throwIfAborted();
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
  const cancel = async (reason: unknown) => {
    cancelled.abort(reason);
    // It has failed already where the platform's fetch made it.
    await from.reader.cancel(reason).catch(() => undefined);
  };
  return new ReadableStream({ pull, cancel }, { highWaterMark: 0 });
}
