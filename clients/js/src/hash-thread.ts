import { OversideError } from "./errors.js";
import { hashSource, type Hashed } from "./hash.js";
import type { Source } from "./source.js";

/** What a hashing thread tells whoever started it. */
export type HashMessage =
  | { hashed: number }
  | { done: Hashed }
  | { failed: { status: number; code: string; message: string } };

/** How often progress is told, in bytes. */
const REPORT = 4 * 1024 * 1024;

/** What runs in the thread: opens the source, hashes it, and tells what comes of it. */
export async function serveHash(open: () => Promise<Source> | Source, post: (message: HashMessage) => void): Promise<void> {
  try {
    let reported = 0;
    const done = await hashSource(await open(), (hashed) => {
      if (hashed - reported < REPORT) return;
      reported = hashed;
      post({ hashed });
    });
    post({ done });
  } catch (error) {
    const { status = 0, code = "UNEXPECTED", message } = error as Error & { status?: number; code?: string };
    post({ failed: { status, code, message } });
  }
}

/** Takes one message of a thread in. True once it was the last. */
export function takeHash(
  message: HashMessage,
  to: { onHashed: (bytes: number) => void; resolve: (hashed: Hashed) => void; reject: (error: unknown) => void },
): boolean {
  if ("hashed" in message) {
    to.onHashed(message.hashed);
    return false;
  }
  if ("done" in message) to.resolve(message.done);
  else to.reject(new OversideError(message.failed.status, message.failed.code, message.failed.message));
  return true;
}
