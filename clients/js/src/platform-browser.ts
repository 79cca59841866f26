import { OversideError, unreachable } from "./errors.js";
import { hashIn } from "./hash-thread.js";
import type { Hashed } from "./hash.js";
import type { HashOptions, Platform, Put, PutAnswer, SourceInput } from "./platform.js";
import { blobSource, type Source } from "./source.js";

async function open(input: SourceInput): Promise<Source> {
  if (input instanceof Blob) return blobSource(input);
  if (input instanceof Uint8Array) return blobSource(new Blob([input]));
  throw new TypeError("a browser uploads a File, a Blob or a Uint8Array");
}

async function hash(source: Source, options: HashOptions): Promise<Hashed> {
  const worker = startWorker(options.workerUrl);
  const listen = (onMessage: (message: unknown) => void, onFailure: (error: unknown) => void) => {
    worker.onmessage = ({ data }) => onMessage(data);
    worker.onerror = ({ message }) => onFailure(noWorker(message));
    worker.postMessage(source.handle);
  };
  return hashIn({ listen, terminate: () => worker.terminate() }, options);
}

function startWorker(url: string | URL | undefined): Worker {
  try {
    // From a URL of the page's own origin: a policy without `blob:` lets it run. Bundlers look for exactly this form.
    return url === undefined
      ? new Worker(new URL("./worker.js", import.meta.url), { type: "module" })
      : new Worker(url, { type: "module" });
  } catch (error) {
    throw noWorker((error as Error).message);
  }
}

function noWorker(why: string | undefined): OversideError {
  const remedy = "check this page's worker-src, or serve overside/worker and give its address as workerUrl";
  return new OversideError(0, "NO_WORKER", `the worker that hashes did not start${why ? `: ${why}` : ""}; ${remedy}`);
}

/** Browsers open six connections to a host of HTTP/1.1, and one is for the service where it is the store as well. */
const PUTS_PER_HOST = 5;

const turns = new Map<string, Turns>();

/** The bodies of all of a page's uploads: one too many would wait inside the browser, and look like a dead connection. */
class Turns {
  #free = PUTS_PER_HOST;
  readonly #waiting = new Set<() => void>();

  async take(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#free > 0) {
      this.#free--;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const stop = () => {
        this.#waiting.delete(start);
        reject(signal.reason);
      };
      const start = () => {
        signal.removeEventListener("abort", stop);
        resolve();
      };
      this.#waiting.add(start);
      signal.addEventListener("abort", stop, { once: true });
    });
  }

  give(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#free++;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}

async function put(body: Put): Promise<PutAnswer> {
  const { host } = new URL(body.url);
  const ofHost = turns.get(host) ?? new Turns();
  turns.set(host, ofHost);
  await ofHost.take(body.signal);
  try {
    body.onSent(0);
    return await send(body);
  } finally {
    ofHost.give();
  }
}

// XMLHttpRequest, because a browser's fetch does not tell how much it has sent.
function send({ url, headers, source, offset, size, signal, onSent }: Put): Promise<PutAnswer> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const request = new XMLHttpRequest();
    request.open("PUT", url);
    for (const [name, value] of Object.entries(headers)) {
      // The browser says the length itself, and lets nobody else.
      if (name.toLowerCase() !== "content-length") request.setRequestHeader(name, value);
    }
    const stop = () => request.abort();
    signal.addEventListener("abort", stop, { once: true });
    request.upload.onprogress = ({ loaded }) => onSent(loaded);
    // Asked only for what the answer exposes: a browser logs each refused header as an error.
    const exposed = () => request.getAllResponseHeaders().toLowerCase();
    const header = (name: string) => (exposed().includes(`${name}:`) ? request.getResponseHeader(name) : null);
    request.onload = () =>
      resolve({
        status: request.status,
        etag: header("etag"),
        retryAfter: header("retry-after"),
        body: request.responseText,
      });
    request.onerror = () => reject(unreachable(url, undefined));
    request.onabort = () => reject(signal.reason);
    request.onloadend = () => signal.removeEventListener("abort", stop);
    request.send((source.handle as Blob).slice(offset, offset + size));
  });
}

export const platform: Platform = { open, hash, put };
