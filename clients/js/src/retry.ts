import { OversideError } from "./errors.js";

/** Nine waits of 0.2 s doubling to 10 s, 21 s to 43 s in all: longer than a server takes to restart. */
const ATTEMPTS = 10;
const FIRST_DELAY = 200;
const LONGEST_DELAY = 10_000;
/** A server that asks for a longer wait is not waited for. */
const LONGEST_RETRY_AFTER = 120_000;
/** Of the 5xx not all pass: 500 is the server's mistake, and stays one. */
const PASSING = [408, 429, 502, 503, 504];

/** Whether the same request may succeed later. */
export function mayPass(error: OversideError): boolean {
  return error.code === "UNREACHABLE" || error.code === "STALLED" || PASSING.includes(error.status);
}

/** The tries of one piece of work, with a growing pause between them. */
export class Retry {
  #failures = 0;

  constructor(private readonly signal: AbortSignal | undefined) {}

  /** Waits before the next try. Throws the error itself after too many. */
  async after(error: OversideError, attempts = ATTEMPTS): Promise<void> {
    this.#failures += 1;
    const asked = error.retryAfter ?? 0;
    if (this.#failures >= attempts || asked > LONGEST_RETRY_AFTER) throw error;
    const delay = Math.min(FIRST_DELAY * 2 ** (this.#failures - 1), LONGEST_DELAY);
    await pause(asked + byChance(delay), this.signal);
  }
}

/** Half of a pause is by chance: clients that a restart cut off together must not come back together. */
export function byChance(milliseconds: number): number {
  return milliseconds * (0.5 + Math.random() / 2);
}

export function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
