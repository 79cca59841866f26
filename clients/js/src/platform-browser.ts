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

function hash(source: Source, options: HashOptions): Promise<Hashed> {
  // From a URL of the page's own origin: a policy without `blob:` lets it run. Bundlers look for exactly this form.
  const worker =
    options.workerUrl === undefined
      ? new Worker(new URL("./worker.js", import.meta.url), { type: "module" })
      : new Worker(options.workerUrl, { type: "module" });
  const listen = (onMessage: (message: unknown) => void, onFailure: (error: unknown) => void) => {
    worker.onmessage = ({ data }) => onMessage(data);
    worker.onerror = ({ message }) => {
      const why = message ? `: ${message}` : "";
      const remedy = "check this page's worker-src, or serve overside/worker and give its address as workerUrl";
      onFailure(new OversideError(0, "NO_WORKER", `the worker that hashes did not start${why}; ${remedy}`));
    };
    worker.postMessage(source.handle);
  };
  return hashIn({ listen, terminate: () => worker.terminate() }, options);
}

// XMLHttpRequest, because a browser's fetch does not tell how much it has sent.
function put({ url, headers, source, offset, size, signal, onSent }: Put): Promise<PutAnswer> {
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
