import { OversideError, storeRefusal } from "./errors.js";
import type { Put } from "./platform.js";
import { mayPass, Retry } from "./retry.js";
import { TimeLimit } from "./time-limit.js";
import type { SignedPart } from "./wire.js";
import { platform } from "#platform";

/** A URL, and exactly the headers that go with it. */
export type SignedRequest = Pick<SignedPart, "presigned_url" | "headers">;

/** Signatures in a row that the store may refuse: one expires while it waits, a third one shows a wrong clock. */
const MAX_REFUSED_SIGNATURES = 3;
/** No byte moves for so long: the connection is dead. In milliseconds. */
const STALL = 60_000;
/** After the last byte the store may still have to move a part of 5 GiB into place before it answers. */
const ANSWER = 5 * 60_000;

/** Sends one body until the store has it: waits where that helps, and has the request signed anew. Gives its ETag. */
export async function sendSigned(
  body: Omit<Put, "url" | "headers">,
  first: SignedRequest,
  sign: () => Promise<SignedRequest>,
): Promise<string | null> {
  const retry = new Retry(body.signal);
  let refusedSignatures = 0;
  let signed = first;
  for (;;) {
    try {
      return await attempt(body, signed);
    } catch (error) {
      body.signal.throwIfAborted();
      // A file that was cut short looks like a broken connection, one that was rewritten like a wrong checksum.
      await body.source.checkUnchanged();
      if (!(error instanceof OversideError)) throw error;
      const isSignature =
        error.code === "STORE_REFUSED" && ([403, 404, 410].includes(error.status) || error.detail === "ExpiredToken");
      const isPassing = mayPass(error) || error.status === 500 || error.detail === "RequestTimeout";
      if (isSignature) refusedSignatures += 1;
      if ((!isSignature && !isPassing) || refusedSignatures > MAX_REFUSED_SIGNATURES) throw error;
      await retry.after(error);
      // Always: a store that refuses early may close before its 403 can be read.
      signed = await sign();
    }
  }
}

async function attempt(body: Omit<Put, "url" | "headers">, { presigned_url: url, headers }: SignedRequest): Promise<string | null> {
  const { host } = new URL(url);
  const limit = new TimeLimit(`the store at ${host} takes no bytes; check the network`, body.signal);
  let isOver = false;
  const onSent = (bytes: number) => {
    // A body may be read on for a moment after its answer.
    if (isOver) return;
    limit.start(bytes < body.size ? STALL : ANSWER);
    body.onSent(bytes);
  };
  try {
    const answer = await platform.put({ ...body, url, headers, signal: limit.signal, onSent });
    if (answer.status >= 200 && answer.status < 300) {
      body.onSent(body.size);
      return answer.etag;
    }
    throw storeRefusal(host, answer.status, answer.body, answer.retryAfter);
  } finally {
    isOver = true;
    limit.end();
  }
}
