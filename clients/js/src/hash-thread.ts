import { OversideError } from "./errors.js";
import { hashSource, type Hashed } from "./hash.js";
import type { HashOptions } from "./platform.js";
import type { Source } from "./source.js";

/** What a hashing thread tells whoever started it. */
type HashMessage =
  | { hashed: number }
  | { done: Hashed }
  | { failed: { code: string | undefined; message: string } };

/** A worker of a browser or of Node. */
interface Thread {
  listen(onMessage: (message: unknown) => void, onFailure: (error: unknown) => void): void;
  terminate(): unknown;
}

/** How often progress is told, in bytes. */
const REPORT = 4 * 1024 * 1024;

/** Runs in the thread: opens the source, hashes it, and tells what comes of it. */
export async function serveHash(open: () => Promise<Source> | Source, post: (message: HashMessage) => void): Promise<void> {
  let source: Source | undefined;
  try {
    let reported = 0;
    source = await open();
    const done = await hashSource(source, (hashed) => {
      if (hashed - reported < REPORT) return;
      reported = hashed;
      post({ hashed });
    });
    post({ done });
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    post({ failed: { code, message } });
  } finally {
    await source?.close();
  }
}

/** The error that a thread has met: of the file, or whatever the system says. */
function asThrown({ code, message }: { code: string | undefined; message: string }): Error {
  return code === "FILE_CHANGED" ? new OversideError(0, code, message) : Object.assign(new Error(message), { code });
}

/** Waits for what a thread tells, and ends it. */
export function hashIn(thread: Thread, { signal, onHashed }: HashOptions): Promise<Hashed> {
  const hashed = new Promise<Hashed>((resolve, reject) => {
    const take = (message: HashMessage) => {
      if ("hashed" in message) onHashed(message.hashed);
      else if ("done" in message) resolve(message.done);
      else reject(asThrown(message.failed));
    };
    thread.listen((message) => take(message as HashMessage), reject);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  return hashed.finally(() => thread.terminate());
}
