// Uploads a file from a browser to Overside: the bytes go where the server says, which is the bucket or the server itself.
//
//   const { digest } = await upload(file, { server: "https://overside.example", repository: "team/data" });
//
// The server needs `--cors-origin` with this page's origin, and the bucket a CORS rule like localstack/cors.json.

import { Sha256 } from "./sha256.js";

const PARTS_FROM = 16 * 2 ** 20; // bytes; a smaller file goes by one PUT, and begins anew when it is cut off
const AT_ONCE = 4; // parts
const ATTEMPTS = 5; // of one body
const PAUSE = 500; // ms before the second attempt; doubles
const POLL = 1000; // ms
const READ = 2 ** 20; // bytes hashed at a time, so that the page stays alive

// What an answer of the server or the store says is wrong.
export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    Object.assign(this, { status, code });
  }
}

// Options: `server`, `repository`; `authorization` for the server, such as "Basic …"; `signal` to stop; `onProgress`, which
// is called with { sent, hashed, total } in bytes. Whoever uploads the same file again goes on with what has arrived.
export async function upload(file, options) {
  const { server, repository, authorization, signal, onProgress = () => {} } = options;
  const progress = { sent: 0, hashed: 0, total: file.size };
  const changed = (change) => onProgress(Object.assign(progress, change));
  const stop = new AbortController();
  const stopped = AbortSignal.any([stop.signal, ...(signal ? [signal] : [])]);

  const call = async (method, url, { headers = {}, body } = {}) => {
    if (authorization) headers = { ...headers, Authorization: authorization };
    const answer = await fetch(url, { method, headers, body, signal: stopped }).catch((error) => {
      stopped.throwIfAborted();
      throw new Error(`${new URL(url).host} was not reached, or does not let this page call it (serve --cors-origin)`, { cause: error });
    });
    if (!answer.ok) throw await refusal(answer);
    return answer;
  };

  try {
    const done = file.size < PARTS_FROM ? await byOnePut() : await inParts();
    localStorage.removeItem(memory());
    return done;
  } finally {
    stop.abort();
  }

  // The digest is declared before the first byte, so the store itself can refuse others.
  async function byOnePut() {
    const { digest } = await hash(file, Infinity, stopped, (hashed) => changed({ hashed }));
    const begun = await begin();
    const signed = await sign(begun, { size: file.size, digest });
    await persist(async (again) => {
      const { presigned_url, headers } = again ? await sign(begun, { size: file.size, digest }) : signed;
      await put(presigned_url, headers, file, stopped, (sent) => changed({ sent }));
    });
    return finish(begun, digest, []);
  }

  // Parts travel side by side while the file is hashed.
  async function inParts() {
    let [url, plan] = await remembered();
    if (!plan) {
      url = await begin();
      plan = await sign(url, { mode: "multipart", size: file.size });
      localStorage.setItem(memory(), url);
    }
    const hashing = hash(file, plan.part_size, stopped, (hashed) => changed({ hashed }));
    // Whoever sends hears of it first.
    hashing.catch(() => {});
    const sent = new Map(plan.received.map((part) => [part.part_number, part.size]));
    const tell = () => changed({ sent: [...sent.values()].reduce((sum, bytes) => sum + bytes, 0) });
    tell();
    let complete = new Set(sent.keys());
    for (let tries = 1; ; tries++) {
      while (complete.size < plan.part_count) {
        const missing = plan.parts.filter((part) => !complete.has(part.part_number));
        const send = async () => {
          for (let part = missing.shift(); part; part = missing.shift()) {
            const { part_number: number, offset, size } = part;
            await persist(async (again) => {
              const signed = again ? (await sign(url, { parts: number })).parts[0] : part;
              await put(signed.presigned_url, signed.headers, file.slice(offset, offset + size), stopped, (bytes) => {
                sent.set(number, bytes);
                tell();
              });
            });
            complete.add(number);
          }
        };
        await Promise.all(Array.from({ length: AT_ONCE }, send));
        if (complete.size < plan.part_count) plan = await sign(url, {});
      }
      const { digest, midstates } = await hashing;
      try {
        return await finish(url, digest, midstates);
      } catch (error) {
        // A part was missing after all, such as one whose sender was stopped: it is sent again.
        if (error.code !== "uploading" || tries === ATTEMPTS) throw error;
        plan = await sign(url, {});
        complete = new Set(plan.received.map((part) => part.part_number));
      }
    }
  }

  async function begin() {
    const answer = await call("POST", `${server}/v2/${repository}/blobs/uploads/`);
    return new URL(answer.headers.get("Location"), answer.url).href;
  }

  async function sign(url, parameters) {
    const answer = await call("GET", `${url}?${new URLSearchParams({ presigned: true, ...parameters })}`);
    return answer.json();
  }

  // An upload of this file that was stopped, and what has arrived of it. One that has ended is refused, and forgotten.
  async function remembered() {
    const url = localStorage.getItem(memory());
    if (!url) return [];
    try {
      const plan = await sign(url, {});
      if (plan.mode === "multipart") return [url, plan];
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
    }
    return [];
  }

  function memory() {
    return ["overside", server, repository, file.name, file.size, file.lastModified].join(" ");
  }

  // Proving a large blob takes its time: the server is asked how far it is.
  async function finish(url, digest, midstates) {
    const body = midstates.length > 0 ? JSON.stringify({ sha256_midstates: midstates }) : undefined;
    const headers = body ? { Prefer: "respond-async", "Content-Type": "application/json" } : {};
    let answer = await call("PUT", `${url}?digest=${digest}`, { headers, body });
    while (answer.status !== 201) {
      await pause(POLL, stopped);
      const state = await (await call("GET", url, { headers: { Accept: "application/json" } })).json();
      if (state.status === "completed") break;
      if (state.status !== "finalizing") throw new Refused(0, state.status, `the upload is ${state.status}`);
    }
    return { digest, size: file.size, repository };
  }

  // What the network or a busy server did is tried again; a refusal only where another URL may help.
  async function persist(attempt) {
    for (let failures = 0; ; ) {
      try {
        return await attempt(failures > 0);
      } catch (error) {
        const is_final = error instanceof Refused && error.status < 500 && ![403, 408, 429].includes(error.status);
        if (stopped.aborted || is_final || ++failures === ATTEMPTS) throw error;
        await pause(PAUSE * 2 ** (failures - 1), stopped);
      }
    }
  }
}

// SHA-256 of the file, and its intermediate values after each part but the last: with those the server reads parts side by side.
async function hash(file, partSize, signal, onHashed) {
  const sha256 = new Sha256();
  const midstates = [];
  for (let at = 0; at < file.size; ) {
    const end = Math.min(at + READ, file.size, at - (at % partSize) + partSize);
    sha256.update(new Uint8Array(await file.slice(at, end).arrayBuffer()));
    signal.throwIfAborted();
    at = end;
    if (at % partSize === 0 && at < file.size) midstates.push(sha256.midstate());
    onHashed(at);
  }
  return { digest: `sha256:${sha256.digest()}`, midstates };
}

// XMLHttpRequest, because fetch does not tell how much it has sent.
function put(url, headers, body, signal, onSent) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", url);
    for (const [name, value] of Object.entries(headers)) {
      // The browser says the length itself, and lets nobody else.
      if (name !== "content-length") request.setRequestHeader(name, value);
    }
    const abort = () => request.abort();
    signal.addEventListener("abort", abort);
    request.upload.onprogress = (event) => onSent(event.loaded);
    request.onload = () => {
      if (request.status < 300) {
        onSent(body.size);
        resolve();
      } else {
        reject(new Refused(request.status, "", `${new URL(url).host} answered ${request.status}`));
      }
    };
    request.onerror = () => reject(new Error(`${new URL(url).host} was not reached, or lets this page not send there (CORS)`));
    request.onabort = () => reject(signal.reason ?? new DOMException("stopped", "AbortError"));
    request.onloadend = () => signal.removeEventListener("abort", abort);
    request.send(body);
  });
}

async function refusal(answer) {
  const said = await answer.json().catch(() => undefined);
  const { code = "", message = `${answer.url} answered ${answer.status}` } = said?.errors?.[0] ?? {};
  return new Refused(answer.status, code, message);
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}
