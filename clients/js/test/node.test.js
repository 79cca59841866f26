import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { appendFileSync, openAsBlob, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { Overside, OversideError } from "overside";
import {
  assertHides,
  bytes,
  connect,
  cutOff,
  folder,
  MIB,
  password,
  readAll,
  repository,
  sha256,
  storeFetch,
  untilAborted,
  url,
  username,
  watchProgress,
} from "./support.js";

/** Three parts, as the server plans them: of 5 MiB. */
const PARTS = 12 * MIB;

const isBlob = (input) => /\/blobs\/sha/.test(String(input));

test("a file goes in one PUT and comes back verified", async () => {
  const data = bytes(3_000_000);
  const path = join(folder, "one-put");
  writeFileSync(path, data);
  const progress = watchProgress(data.length);
  const { send, stored } = storeFetch();
  const team = connect({ fetch: send });
  const result = await team.upload(path, { onProgress: progress.tell });
  assert.deepEqual(result, { digest: sha256(data), size: data.length, location: `${url}/v2/${repository}/blobs/${sha256(data)}` });
  assert.equal(stored.length, 1);
  assert.equal(progress.check(), "monotone");
  assert.deepEqual(await readAll(await team.download(result.digest)), data);
});

test("what the repository has already is not sent again", async () => {
  const data = bytes(100_000);
  const { send, attempts } = storeFetch();
  const team = connect({ fetch: send });
  const first = await team.upload(data);
  assert.deepEqual(await team.upload(new Blob([data])), first);
  assert.equal(attempts.length, 1);
});

test("a file goes in parts, is hashed meanwhile, and tells the midstates between them", async () => {
  const data = bytes(PARTS);
  const path = join(folder, "parts");
  writeFileSync(path, data);
  const progress = watchProgress(data.length);
  const { send, stored } = storeFetch();
  let finalize;
  const spy = (input, init) => {
    if (String(input).includes("digest=") && init.method === "PUT") finalize = JSON.parse(init.body);
    return send(input, init);
  };
  const { digest } = await connect({ fetch: spy }).upload(path, { mode: "multipart", onProgress: progress.tell });
  assert.equal(digest, sha256(data));
  assert.equal(new Set(stored).size, 3);
  assert.equal(stored.length, 3);
  assert.equal(progress.check(), "monotone");
  assert.ok(progress.events.some(({ sent }) => sent > 0 && sent < data.length), "progress within the file");
  assert.deepEqual(finalize.parts.map((part) => part.part_number), [1, 2, 3]);
  assert.equal(finalize.sha256_midstates.length, 2);
});

test("midstates are those of the standard", async () => {
  const { hashSource, midstatesBetween } = await import("../dist/hash.js");
  const { blobSource } = await import("../dist/source.js");
  // After 8 MiB of zeros, by an implementation of FIPS 180-4 that shares nothing with this one.
  const hashed = await hashSource(blobSource(new Blob([new Uint8Array(16 * MIB)])), () => {});
  assert.deepEqual(midstatesBetween(hashed, 8 * MIB, 2), ["56f4977874de6f2f486026383b4ed2ef9fcd5297bc493f161a17760611513db4"]);
});

test("URLs of many parts are asked for a hundred at a time, and each part is sent once", async () => {
  const { Parts } = await import("../dist/parts.js");
  const { Progress } = await import("../dist/progress.js");
  const [count, size] = [250, 5 * MIB];
  const plan = (first, last) => ({
    mode: "multipart",
    part_size: size,
    part_count: count,
    parts: Array.from({ length: last - first + 1 }, (_, index) => {
      const part_number = first + index;
      const presigned_url = `http://store.example/${part_number}`;
      return { part_number, offset: (part_number - 1) * size, size, presigned_url, headers: {} };
    }),
    received: [{ part_number: 7, size }, { part_number: 150, size }, { part_number: 9, size: 1 }],
    expires_at: new Date(Date.now() + 60_000).toISOString(),
  });
  const asked = [];
  const session = { sign: async ({ parts }) => (asked.push(parts), plan(...parts.split("-").map(Number))) };
  const sent = [];
  const send = async (input) => (sent.push(Number(input.split("/").at(-1))), new Response("", { headers: { etag: "e" } }));
  const source = { size: count * size };
  const body = { source, signal: new AbortController().signal, fetch: send };
  let etags = await new Parts(session, plan(1, 100), {}, body, new Progress(source.size, undefined, assert.fail)).send(4);
  assert.equal(etags, undefined);
  assert.deepEqual(asked, ["101-149", "151-250"]);
  const missing = Array.from({ length: count }, (_, index) => index + 1).filter((number) => number !== 7 && number !== 150);
  assert.deepEqual(sent.sort((a, b) => a - b), missing);

  // By a clock that is ahead all URLs have expired when they arrive. They are used all the same.
  const late = (first, last) => ({ ...plan(first, last), expires_at: new Date(Date.now() - 60_000).toISOString(), received: [] });
  session.sign = async ({ parts }) => (asked.push(parts), late(...parts.split("-").map(Number)));
  etags = await new Parts(session, late(1, 100), {}, body, new Progress(source.size, undefined, assert.fail)).send(4);
  assert.equal(etags.length, count);
  assert.deepEqual(asked.slice(2), ["101-200", "201-250"]);
});

test("an empty file is a blob as well", async () => {
  const result = await connect().upload(new Uint8Array());
  assert.deepEqual([result.size, result.digest], [0, sha256("")]);
  const path = join(folder, "empty");
  writeFileSync(path, "");
  assert.equal((await connect().upload(path)).digest, sha256(""));
  assert.equal((await readAll(await connect().download(sha256("")))).length, 0);
  const { send, stored } = storeFetch();
  const fresh = new Overside({ url, username, password: process.env.OVERSIDE_TEST_PASSWORD, fetch: send });
  const progress = watchProgress(0);
  await fresh.repository(`${repository}-empty`).upload(path, { mode: "multipart", onProgress: progress.tell });
  assert.equal(stored.length, 1);
  assert.deepEqual(progress.events, [{ sent: 0, hashed: 0, total: 0 }]);
});

test("an upload that was stopped goes on, and sends nothing again that has arrived", async () => {
  const data = bytes(PARTS);
  const path = join(folder, "resumed");
  writeFileSync(path, data);
  const stop = new AbortController();
  // The second body never ends: the page is closed while it is on its way.
  const first = storeFetch((attempt, init) => {
    if (attempt < 2) return undefined;
    stop.abort();
    return new Promise((_, failed) => failed(init.signal.reason));
  });
  let state;
  const options = { mode: "multipart", concurrency: 1, onState: (told) => (state = JSON.stringify(told)) };
  const stopped = connect({ fetch: first.send }).upload(path, { ...options, signal: stop.signal, keepOnAbort: true });
  await assert.rejects(stopped, { name: "AbortError" });
  assert.equal(first.stored.length, 1);

  const second = storeFetch();
  const progress = watchProgress(data.length);
  const resume = JSON.parse(state);
  const result = await connect({ fetch: second.send }).upload(path, { resume, onProgress: progress.tell });
  assert.equal(result.digest, sha256(data));
  assert.equal(second.attempts.length, 2);
  assert.ok(!second.attempts.includes(first.stored[0]));
  assert.equal(progress.check(), "monotone");
  assert.ok(progress.events[0].sent >= 5 * MIB, "what has arrived counts as sent");

  // Whoever asks again is told the result, and a state whose upload is gone begins anew.
  for (const finished of [resume, resume.uuid]) {
    assert.deepEqual(await connect({ fetch: second.send }).upload(path, { resume: finished }), result);
  }
  assert.deepEqual(await connect().resume(resume.uuid).finalize(result.digest), result);
  assert.equal(second.attempts.length, 2);
  const gone = { ...resume, uuid: "01900000-0000-7000-8000-000000000000" };
  assert.deepEqual(await connect().upload(path, { resume: gone, mode: "multipart" }), result);
  // Another file is not what the upload was begun with.
  await assert.rejects(connect().upload(bytes(PARTS - 1), { resume }), { code: "OTHER_FILE" });
});

test("an upload of which the repository has lost the blob, or that cannot be gone on with, begins anew", async () => {
  const data = bytes(PARTS);
  const team = connect();
  let state;
  const options = { mode: "multipart", onState: (told) => (state = told) };
  const { digest } = await team.upload(data, options);
  const completed = state;
  const authorization = `Basic ${btoa(`${username}:${password}`)}`;
  const deleted = await fetch(`${url}/v2/${repository}/blobs/${digest}`, { method: "DELETE", headers: { authorization } });
  assert.equal(deleted.status, 202, await deleted.text());
  assert.equal((await team.upload(data, { ...options, resume: completed })).digest, digest);
  assert.notEqual(state.uuid, completed.uuid);
  assert.equal((await team.find(digest)).size, PARTS);

  // A server that cannot sign this one any more.
  const other = bytes(PARTS);
  const session = await team.begin({ size: PARTS, mode: "multipart" });
  const envelope = JSON.stringify({ errors: [{ code: "BLOB_UPLOAD_INVALID", message: "it has another mode" }] });
  const refusing = async (input, init) => {
    const isSign = init?.method === "GET" && String(input).includes(`${session.state.uuid}?presigned`);
    return isSign ? new Response(envelope, { status: 400 }) : fetch(input, init);
  };
  const begun = await connect({ fetch: refusing }).upload(other, { ...options, resume: session.state });
  assert.equal(begun.digest, sha256(other));
  assert.equal((await session.status()).status, "aborted");
});

test("a file of another digest than the upload was begun with is told before anything is sent", async () => {
  const data = bytes(1000);
  const { send, attempts } = storeFetch();
  const team = connect({ fetch: send });
  const { state } = await team.begin({ size: data.length, digest: sha256(data) });
  await assert.rejects(team.upload(bytes(data.length), { resume: state }), { code: "OTHER_FILE" });
  assert.equal(attempts.length, 0);
  assert.equal((await team.upload(data, { resume: state })).digest, sha256(data));
});

test("what was finalized as another digest is no success", async () => {
  const data = bytes(1000);
  const team = connect();
  let state;
  await team.upload(data, { onState: (told) => (state = told) });
  await assert.rejects(team.resume(state).finalize(sha256("other")), OversideError);
  const accepting = async (input, init) => {
    const isFinalize = init?.method === "PUT" && String(input).includes("digest=");
    return isFinalize ? new Response(null, { status: 202 }) : fetch(input, init);
  };
  const session = connect({ fetch: accepting }).resume(state);
  await assert.rejects(session.finalize(sha256("other")), { code: "DIGEST_INVALID" });
  assert.equal((await session.finalize(sha256(data))).digest, sha256(data));
});

test("finalizing an upload of which nothing was sent publishes nothing", async () => {
  const team = connect();
  const authorization = `Basic ${btoa(`${username}:${password}`)}`;
  const begun = await fetch(`${url}/v2/${repository}/blobs/uploads/`, { method: "POST", headers: { authorization } });
  const uuid = begun.headers.get("upload-uuid");
  await assert.rejects(team.resume(uuid).finalize(sha256("{}")), OversideError);
  assert.equal(await team.find(sha256("{}")), undefined);
});

test("an upload whose earlier bytes were others begins anew", async () => {
  const data = bytes(PARTS);
  const other = bytes(PARTS);
  const stop = new AbortController();
  const { send } = storeFetch((attempt) => void (attempt === 2 && stop.abort()));
  let state;
  const options = { mode: "multipart", concurrency: 1, onState: (told) => (state = told) };
  await assert.rejects(connect({ fetch: send }).upload(other, { ...options, signal: stop.signal, keepOnAbort: true }));
  const begun = state.uuid;
  const progress = watchProgress(data.length);
  const { digest } = await connect().upload(data, { ...options, resume: state, onProgress: progress.tell });
  assert.equal(digest, sha256(data));
  assert.notEqual(state.uuid, begun);
  assert.equal(progress.check(), "monotone");
});

test("a wrong digest is refused clearly, and nothing is left", async () => {
  for (const mode of ["put", "multipart"]) {
    const data = bytes(6 * MIB);
    const wrong = sha256("something else");
    const team = connect();
    let state;
    const upload = team.upload(data, { mode, digest: wrong, onState: (told) => (state = told) });
    await assert.rejects(upload, (error) => {
      assert.ok(error instanceof OversideError);
      assert.deepEqual([error.code, error.status], ["DIGEST_INVALID", 400], `${mode}: ${error.message}`);
      return true;
    });
    const { status } = await team.resume(state).status();
    assert.ok(["failed", "aborted"].includes(status), status);
    assert.equal(await team.find(wrong), undefined);
    assert.equal(await team.find(sha256(data)), undefined);
  }
});

test("a known digest of a blob with another size is refused", async () => {
  const team = connect();
  const { digest } = await team.upload(bytes(1000));
  for (const mode of ["put", "multipart"]) {
    await assert.rejects(team.upload(bytes(999), { digest, mode }), { code: "DIGEST_INVALID", message: /1000 bytes.*999/ });
  }
  assert.equal((await team.find(digest)).size, 1000);
});

test("an upload that has failed may be aborted", async () => {
  const data = bytes(1000);
  const team = connect();
  const session = await team.begin({ size: data.length, mode: "multipart" });
  const { parts } = await session.sign();
  for (const { presigned_url, headers } of parts) await fetch(presigned_url, { method: "PUT", headers, body: data });
  await assert.rejects(session.finalize(sha256("other")), { code: "DIGEST_INVALID" });
  assert.equal((await session.status()).status, "failed");
  await session.abort();
});

test("one part that fails stops the others", async () => {
  const waiting = [];
  const { send } = storeFetch((attempt, init) => {
    if (attempt === 3) return new Response("<Error><Code>EntityTooLarge</Code></Error>", { status: 400 });
    return new Promise((_, failed) => {
      waiting.push(init.signal);
      init.signal.addEventListener("abort", () => failed(init.signal.reason));
    });
  });
  const upload = connect({ fetch: send }).upload(bytes(PARTS), { mode: "multipart" });
  await assert.rejects(upload, { code: "STORE_REFUSED", detail: "EntityTooLarge" });
  assert.deepEqual(waiting.map(({ aborted }) => aborted), [true, true]);
});

test("a callback that throws fails its upload, and nothing else", async () => {
  const onProgress = () => {
    throw new Error("the bar is gone");
  };
  for (const [data, mode] of [[bytes(PARTS), "multipart"], [bytes(10), "put"], [bytes(0), undefined]]) {
    await assert.rejects(connect().upload(data, { mode, onProgress }), /the bar is gone/);
  }
});

test("options that are none are refused before anything is sent", async () => {
  const team = connect({ fetch: () => assert.fail("something was sent") });
  for (const concurrency of [0, -1, 1.5, Number.NaN, "4"]) {
    await assert.rejects(team.upload(bytes(1), { concurrency }), TypeError);
  }
});

test("what is no regular file is refused, and what cannot be read is no changed file", async () => {
  const team = connect();
  for (const path of ["/dev/null", folder, "/proc/self/status"]) {
    await assert.rejects(team.upload(path), (error) => error instanceof TypeError && error.message.includes("no regular file"), path);
  }
  const path = join(folder, "removed");
  await assert.rejects(team.upload(path), { code: "ENOENT" });
  const { blobSource } = await import("../dist/source.js");
  const failing = (name) => ({ size: 1, slice: () => ({ arrayBuffer: () => Promise.reject(new DOMException("no", name)) }) });
  await assert.rejects(blobSource(failing("NotReadableError")).read(0, 1), { code: "FILE_CHANGED" });
  await assert.rejects(blobSource(failing("QuotaExceededError")).read(0, 1), { name: "QuotaExceededError" });
});

test("a Blob that no other thread takes is hashed all the same", async () => {
  const data = bytes(100_000);
  const path = join(folder, "as-blob");
  writeFileSync(path, data);
  assert.equal((await connect().upload(await openAsBlob(path))).digest, sha256(data));
});

test("a URL that expired is asked for again", async () => {
  const data = bytes(PARTS);
  // Longer than URLs live on this server. The body began to be sent in time by the client's clock.
  const { send, stored, attempts } = storeFetch(async (attempt) => {
    if (attempt === 1) await new Promise((done) => setTimeout(done, 3_000));
  });
  const { digest } = await connect({ fetch: send }).upload(data, { mode: "multipart" });
  assert.equal(digest, sha256(data));
  assert.ok(attempts.length > 3, "the first was refused");
  assert.equal(new Set(stored).size, 3);
});

test("a cut connection, a 503 and a 500 of the store are tried again", async () => {
  const data = bytes(PARTS);
  const faults = [
    () => Promise.reject(new TypeError("fetch failed")),
    () => new Response("busy", { status: 503, headers: { "retry-after": "0" } }),
    () => new Response("<Error><Code>InternalError</Code></Error>", { status: 500 }),
    // Half of it has gone when the connection breaks.
    async (init) => {
      let sent = 0;
      for await (const piece of init.body) if ((sent += piece.length) > MIB) break;
      throw new TypeError("terminated");
    },
  ];
  const { send, stored, attempts, expired } = storeFetch((attempt, init) => faults[attempt - 1]?.(init));
  const progress = watchProgress(data.length);
  const { digest } = await connect({ fetch: send }).upload(data, { mode: "multipart", onProgress: progress.tell });
  assert.equal(digest, sha256(data));
  assert.equal(stored.length, 3);
  // On a busy machine a URL may expire besides.
  assert.equal(attempts.length - expired.length, 3 + faults.length);
  assert.equal(progress.check(), "monotone");
});

test("a service that is down for a moment is asked again, one that was never there is told soon", async () => {
  let failures = 2;
  const flaky = async (input, init) => {
    if (failures-- > 0) return new Response("{}", { status: 503 });
    return fetch(input, init);
  };
  const data = bytes(1000);
  assert.equal((await connect({ fetch: flaky }).upload(data)).digest, sha256(data));
  const nobody = new Overside({ url: "http://127.0.0.1:9" }).repository("team/app");
  await assert.rejects(nobody.upload(data), { code: "UNREACHABLE", status: 0, message: /127\.0\.0\.1:9 was not reached/ });
});

test("aborting by a signal deletes the upload", async () => {
  const stop = new AbortController();
  const { send } = storeFetch((attempt) => {
    if (attempt === 2) stop.abort(new Error("the user has closed the window"));
  });
  const team = connect({ fetch: send });
  let state;
  const options = { mode: "multipart", concurrency: 1, signal: stop.signal, onState: (told) => (state = told) };
  await assert.rejects(team.upload(bytes(PARTS), options), /the user has closed the window/);
  assert.equal((await team.resume(state).status()).status, "aborted");
  // Before anything was begun.
  await assert.rejects(team.upload(bytes(1), { signal: AbortSignal.abort() }), { name: "AbortError" });
});

test("a stopped upload does not wait for a service that goes silent", async () => {
  const stop = new AbortController();
  const { send } = storeFetch(() => void stop.abort());
  const silent = (input, init) => (init?.method === "DELETE" ? untilAborted(init) : send(input, init));
  const upload = connect({ fetch: silent }).upload(bytes(10), { signal: stop.signal });
  const late = new Promise((_, failed) => setTimeout(failed, 30_000, new Error("it still waits")).unref());
  await assert.rejects(Promise.race([upload, late]), { name: "AbortError" });
});

test("a file that is changed while it is uploaded is told, and nothing is left", async () => {
  const path = join(folder, "changing");
  const changes = [() => appendFileSync(path, "more"), () => truncateSync(path, 10), () => utimesSync(path, 1, 1)];
  for (const change of changes) {
    writeFileSync(path, bytes(PARTS));
    const { send } = storeFetch((attempt) => void (attempt === 2 && change()));
    const team = connect({ fetch: send });
    let state;
    const options = { mode: "multipart", concurrency: 1, onState: (told) => (state = told) };
    await assert.rejects(team.upload(path, options), { code: "FILE_CHANGED", message: /changing was changed/ });
    assert.equal((await team.resume(state).status()).status, "aborted");
  }
});

test("a download is verified, goes on where its connection broke, and may be a range", async () => {
  const data = bytes(2 * MIB);
  const { digest } = await connect().upload(data);
  let cuts = 2;
  const ranges = [];
  const cutting = async (input, init) => {
    const answer = await fetch(input, init);
    if (!isBlob(input) || !answer.ok) return answer;
    ranges.push(init.headers.range);
    if (cuts-- <= 0) return answer;
    return cutOff(answer, 500_000);
  };
  assert.deepEqual(await readAll(await connect({ fetch: cutting }).download(digest)), data);
  assert.equal(ranges.length, 3);
  assert.match(ranges[1], /^bytes=\d+-$/);

  const range = await readAll(await connect().download(digest, { start: 1000, end: 2000 }));
  assert.deepEqual(range, data.slice(1000, 2000));

  const lying = async (input, init) => {
    const answer = await fetch(input, init);
    if (!isBlob(input) || !answer.ok) return answer;
    const flipped = new Uint8Array(await answer.arrayBuffer());
    flipped[12345] ^= 1;
    return new Response(flipped, answer);
  };
  await assert.rejects(readAll(await connect({ fetch: lying }).download(digest)), { code: "DIGEST_MISMATCH" });
});

test("a download that is cancelled while it waits closes its connection, and opens no other", async () => {
  const { digest } = await connect().upload(bytes(1000));
  const seen = { opened: 0, closed: 0 };
  const silent = async (input, init) => {
    const answer = await fetch(input, init);
    if (!isBlob(input) || !answer.ok) return answer;
    await answer.body.cancel();
    seen.opened++;
    return new Response(new ReadableStream({ cancel: () => void seen.closed++ }), { headers: { "content-length": "1000" } });
  };
  const reader = (await connect({ fetch: silent }).download(digest)).getReader();
  const pending = reader.read();
  await reader.cancel();
  assert.equal((await pending).done, true);
  // Longer than the pause before a second try.
  await new Promise((done) => setTimeout(done, 300));
  assert.deepEqual(seen, { opened: 1, closed: 1 });
});

test("a connection on which nothing moves for a minute is followed by another", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const pass = async (milliseconds) => {
    await new Promise((done) => setImmediate(done));
    t.mock.timers.tick(milliseconds);
    await new Promise((done) => setImmediate(done));
  };
  const answers = [(init) => untilAborted(init), () => Response.json({ status: "pending" })];
  const team = (list) => connect({ fetch: async (_, init) => list.shift()(init) });
  const status = team(answers).resume("01900000-0000-7000-8000-000000000000").status();
  await pass(60_000);
  await pass(1_000);
  assert.equal((await status).status, "pending");

  const data = bytes(10);
  const silent = (init) => new Response(new ReadableStream({ start: (body) => void untilAborted(init).catch((error) => body.error(error)) }));
  const stream = await team([silent, () => new Response(data)]).download(sha256(data));
  const all = readAll(stream);
  await pass(60_000);
  await pass(1_000);
  assert.deepEqual(await all, data);
});

test("a range is what was asked for, or an error", async () => {
  const data = bytes(3000);
  const { digest } = await connect().upload(data);
  const team = connect();
  assert.deepEqual(await readAll(await team.download(digest, { start: 1000 })), data.slice(1000));
  assert.equal((await readAll(await team.download(digest, { start: 7, end: 7 }))).length, 0);
  for (const range of [{ start: -1 }, { start: 2, end: 1 }, { start: 0.5 }, { end: Number.NaN }]) {
    await assert.rejects(team.download(digest, range), TypeError, JSON.stringify(range));
  }
  const cancelled = [];
  const other = (change) => async (input, init) => {
    const answer = await fetch(input, init);
    if (!isBlob(input) || !answer.ok) return answer;
    const body = new ReadableStream({ cancel: () => void cancelled.push(init.headers.range) });
    return new Response(body, change(answer));
  };
  const wrong = [
    () => ({ status: 200 }),
    () => ({ status: 206, headers: { "content-range": "bytes 0-999/3000" } }),
  ];
  for (const change of wrong) {
    const download = connect({ fetch: other(change) }).download(digest, { start: 1000, end: 2000 });
    await assert.rejects(download, { code: "UNEXPECTED_ANSWER", message: /other bytes/ });
  }
  assert.deepEqual(cancelled, ["bytes=1000-1999", "bytes=1000-1999"]);
  const compressed = async (input, init) => {
    const answer = await fetch(input, init);
    const headers = { "content-encoding": "gzip", "content-length": "20" };
    return isBlob(input) && answer.ok ? new Response(answer.body, { headers }) : answer;
  };
  assert.deepEqual(await readAll(await connect({ fetch: compressed }).download(digest)), data);
});

test("the store never sees who is signed in, not even after a redirect", async () => {
  const sent = [];
  const { send } = storeFetch((_, init) => void sent.push(init.headers));
  await connect({ fetch: send }).upload(bytes(PARTS), { mode: "multipart" });
  await connect({ fetch: send }).upload(bytes(10));
  assert.ok(sent.length >= 4);
  assert.ok(sent.every((headers) => !new Headers(headers).has("authorization")));

  const data = bytes(1000);
  const seen = { service: [], store: [] };
  const listen = async (name, answer) => {
    const server = createServer((request, response) => {
      seen[name].push(request.headers.authorization);
      answer(request, response);
    });
    await new Promise((done) => server.listen(0, "127.0.0.1", done));
    return { server, address: `http://127.0.0.1:${server.address().port}` };
  };
  const store = await listen("store", (_, response) => response.end(data));
  const service = await listen("service", ({ headers }, response) => {
    const asks = { "www-authenticate": "Basic" };
    response.writeHead(headers.authorization ? 307 : 401, headers.authorization ? { location: store.address } : asks).end();
  });
  const team = new Overside({ url: service.address, username, password }).repository(repository);
  assert.deepEqual(await readAll(await team.download(sha256(data))), data);
  assert.deepEqual(seen, { service: [undefined, `Basic ${btoa(`${username}:${password}`)}`], store: [undefined] });
  for (const { server } of [store, service]) {
    server.closeAllConnections();
    server.close();
  }
});

test("errors are typed, and say nothing secret", async () => {
  const secrets = (text) => [text, btoa(`${username}:${text}`)];
  const wrong = connect({ password: "not the password" });
  await assert.rejects(wrong.upload(bytes(10)), (error) => {
    assert.ok(error instanceof OversideError);
    assert.deepEqual([error.status, error.code], [401, "UNAUTHORIZED"]);
    assertHides(error, secrets("not the password"));
    return true;
  });
  assertHides(wrong, secrets("not the password"));
  const team = connect();
  const data = bytes(10);
  const session = await team.begin({ size: data.length, digest: sha256(data) });
  const { presigned_url } = await session.sign();
  const signature = /[?&]\S*(?:signature|sig)\S*?=([^&]+)/i.exec(presigned_url)[1];
  assertHides(team, secrets(password));
  assertHides(session, [...secrets(password), signature, "presigned_url"]);
  const nobody = new Overside({ url }).repository(repository);
  await assert.rejects(nobody.upload(bytes(10)), { status: 401, code: "UNAUTHORIZED" });
  await assert.rejects(connect().download(sha256("nobody has this")), { status: 404, code: "BLOB_UNKNOWN" });
  const unknown = { uuid: "01900000-0000-7000-8000-000000000000", repository, size: 1 };
  await assert.rejects(connect().resume(unknown).status(), { status: 404, code: "BLOB_UPLOAD_UNKNOWN" });
  assert.throws(() => new Overside({ url: "http://user:secret@127.0.0.1" }), /username/);
});

test("a control answer that is cut is asked for again, and one that is no JSON is told", async () => {
  let cuts = 0;
  const cutting = async (input, init) => {
    const answer = await fetch(input, init);
    const isJson = answer.headers.get("content-type")?.includes("json") === true;
    // Each of them once: the token, where the bytes go, and where the upload stands.
    return answer.ok && isJson && cuts++ % 2 === 0 ? cutOff(answer, 10) : answer;
  };
  const data = bytes(PARTS);
  assert.equal((await connect({ fetch: cutting }).upload(data, { mode: "multipart" })).digest, sha256(data));
  assert.ok(cuts >= 4, `${cuts} answers`);
  const proxy = async (input, init) => {
    const answer = await fetch(input, init);
    return init?.method === "POST" ? new Response("<html>Welcome</html>", { headers: answer.headers }) : answer;
  };
  await assert.rejects(connect({ fetch: proxy }).upload(bytes(10)), { code: "UNEXPECTED_ANSWER", message: /else than JSON/ });
});

test("what is no repository, digest or UUID is refused before it leads to another endpoint", async () => {
  for (const name of ["team/../other", "team//app", "team/app/", "/team", "team/.", "team/App", "team/a?b", "team/a%2f", ""]) {
    assert.throws(() => new Overside({ url }).repository(name), TypeError, name);
  }
  for (const name of ["team/app", "a", "a.b_c__d--e/f0"]) assert.equal(new Overside({ url }).repository(name).name, name);
  const team = connect({ fetch: () => assert.fail("something was sent") });
  const state = { uuid: "../../manifests/latest", repository, size: 1 };
  for (const upload of [state, state.uuid]) assert.throws(() => team.resume(upload), TypeError);
  for (const digest of ["../manifests/latest", "sha256:abc", `${sha256("")}?x`, sha256("").toUpperCase()]) {
    await assert.rejects(team.find(digest), TypeError);
    await assert.rejects(team.download(digest), TypeError);
    await assert.rejects(team.upload(bytes(1), { digest }), TypeError);
  }
});

test("a blob whose size is not told is not taken for an empty one", async () => {
  const silent = async (input, init) => {
    const answer = await fetch(input, init);
    return init?.method === "HEAD" && answer.ok ? new Response(null) : answer;
  };
  const { digest } = await connect().upload(bytes(10));
  await assert.rejects(connect({ fetch: silent }).find(digest), { code: "UNEXPECTED_ANSWER", message: /Content-Length/ });
});

test("a token that ended is asked for again", async () => {
  const asked = [];
  const credentials = () => {
    asked.push(username);
    return asked.length === 1 ? { token: "stale" } : { username, password: process.env.OVERSIDE_TEST_PASSWORD };
  };
  const data = bytes(10);
  const team = new Overside({ url, credentials }).repository(repository);
  assert.equal((await team.upload(data)).digest, sha256(data));
  assert.equal(asked.length, 2);
});

test("the bytes of others' sessions are sent request by request", async () => {
  const data = bytes(1000);
  const team = connect();
  const session = await team.begin({ size: data.length, digest: sha256(data) });
  const signed = await session.sign();
  assert.equal(signed.mode, "put");
  const sent = await fetch(signed.presigned_url, { method: "PUT", headers: signed.headers, body: data });
  assert.ok(sent.ok);
  assert.equal((await session.finalize(sha256(data))).digest, sha256(data));
});

test("memory is bounded for a file of 300 MiB", async () => {
  const path = join(folder, "large");
  const block = bytes(MIB);
  const hash = createHash("sha256");
  writeFileSync(path, "");
  for (let index = 0; index < 300; index++) {
    block[0] = index;
    appendFileSync(path, block);
    hash.update(block);
  }
  global.gc?.();
  const before = process.memoryUsage().rss;
  let most = before;
  const watching = setInterval(() => (most = Math.max(most, process.memoryUsage().rss)), 20);
  const progress = watchProgress(300 * MIB);
  const { digest } = await connect().upload(path, { onProgress: progress.tell });
  clearInterval(watching);
  assert.equal(digest, `sha256:${hash.digest("hex")}`);
  assert.equal(progress.check(), "monotone");
  const grown = Math.round((most - before) / MIB);
  assert.ok(grown < 120, `it grew by ${grown} MiB`);
});
