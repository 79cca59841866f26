// What the tests share: the server that the environment names, files of known bytes, and a `fetch` that counts and fails.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { Overside } from "overside";

function needed(name) {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set; run this by scripts/with-servers.js`);
  return value;
}

export const url = needed("OVERSIDE_TEST_URL");
export const repository = needed("OVERSIDE_TEST_REPOSITORY");
export const username = needed("OVERSIDE_TEST_USERNAME");
export const password = needed("OVERSIDE_TEST_PASSWORD");

export const MIB = 1024 * 1024;
export const folder = mkdtempSync(join(tmpdir(), "overside-js-test-"));
process.on("exit", () => rmSync(folder, { recursive: true }));

export function connect(options = {}) {
  return new Overside({ url, username, password, ...options }).repository(repository);
}

/** Bytes that nobody has uploaded before, so that every test sends its own. */
export function bytes(size) {
  return new Uint8Array(randomBytes(size));
}

export function sha256(data) {
  return `sha256:${createHash("sha256").update(data).digest("hex")}`;
}

export async function readAll(stream) {
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * A `fetch` that notes the bodies that a store has taken, by their URL without its query. `before` may answer, wait or fail
 * in the store's stead.
 */
export function storeFetch(before = () => undefined) {
  const stored = [];
  const attempts = [];
  const expired = [];
  const send = async (input, init) => {
    const { origin, pathname } = new URL(input);
    const isBody = init?.method === "PUT" && !pathname.includes("/blobs/uploads/");
    if (!isBody) return fetch(input, init);
    const place = origin + pathname + new URL(input).search.replace(/.*(partNumber=\d+).*|.*/, "$1");
    attempts.push(place);
    const answer = (await before(attempts.length, init)) ?? (await fetch(input, init));
    if (answer.ok) stored.push(place);
    if (answer.status === 403) expired.push(place);
    return answer;
  };
  return { send, stored, attempts, expired };
}

/** What never answers, and ends when its request is stopped. */
export function untilAborted({ signal }) {
  return new Promise((_, failed) => signal.addEventListener("abort", () => failed(signal.reason)));
}

/** An answer whose connection breaks after so many bytes of its body. */
export function cutOff(answer, size) {
  let left = size;
  const cut = new TransformStream({
    transform(chunk, controller) {
      controller.enqueue(chunk.subarray(0, left));
      left -= chunk.length;
      if (left <= 0) controller.error(new TypeError("terminated"));
    },
  });
  return new Response(answer.body.pipeThrough(cut), answer);
}

/** Asserts that a value shows none of these, as JSON or as it is logged, nor do the errors that caused it. */
export function assertHides(value, secrets) {
  const shown = [inspect(value, { depth: null, showHidden: true }), JSON.stringify(value)];
  for (let error = value; error instanceof Error; error = error.cause) shown.push(error.message, error.stack, JSON.stringify(error.detail));
  for (const secret of secrets) assert.ok(!shown.join("\n").includes(secret), `${secret} is shown`);
}

/** Collects progress, and says what is wrong with it. */
export function watchProgress(total) {
  const events = [];
  const check = () => {
    const last = events.at(-1);
    if (last === undefined) return "nothing was told";
    if (last.sent !== total || last.hashed !== total || last.total !== total) return `it ended at ${JSON.stringify(last)}`;
    for (const [index, event] of events.entries()) {
      const before = events[index - 1] ?? { sent: 0, hashed: 0 };
      if (event.sent < before.sent || event.hashed < before.hashed) return `it went back at ${index}`;
      if (event.sent > total || event.hashed > total) return `it went too far at ${index}`;
    }
    return "monotone";
  };
  return { events, check, tell: (event) => events.push(event) };
}
