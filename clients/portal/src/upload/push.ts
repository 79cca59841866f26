import type { Repository } from "../../../js/src/index.js";
import { putManifest } from "../registry.js";
import { make, MADE_TYPE, type Part, type Plan } from "./archive.js";
import { forget, load, store, type Saved } from "./saved.js";

/** Blobs at a time. Each may go in several parts; the browser sends no more bodies at once than a host takes. */
const BLOBS_AT_ONCE = 3;

export interface PushOptions {
  repository: Repository;
  tag: string;
  /** Under which the browser keeps how far it is. */
  key: string;
  signal: AbortSignal;
  /** Stopped by the signal, what has arrived stays. */
  keepOnAbort: () => boolean;
  onProgress: (part: Part, sent: number) => void;
}

/** Uploads what a plan names, and publishes it under a tag; the digest of that. */
export async function push(plan: Plan, options: PushOptions): Promise<string> {
  const { repository, tag, key, signal } = options;
  const saved = load(key);
  const digests = new Map<Part, string>();
  const waiting = [...plan.parts.entries()];
  // The first failure stops the others, which stay to be gone on with.
  const failing = new AbortController();
  const stop = AbortSignal.any([signal, failing.signal]);
  // Of what is given up nothing is kept.
  const keep = (index: number, one: Saved[number]) => {
    if (!signal.aborted || options.keepOnAbort()) store(key, Object.assign(saved, { [index]: one }));
  };
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, part] = next;
      const known = saved[index];
      const digest = part.digest ?? (known !== undefined && "digest" in known ? known.digest : undefined);
      const uploaded = await repository.upload(part.content, {
        name: part.name,
        digest,
        resume: known !== undefined && "state" in known ? known.state : undefined,
        signal: stop,
        // An abort that is a failure's keeps what has arrived, too.
        get keepOnAbort() {
          return failing.signal.aborted || options.keepOnAbort();
        },
        onState: (state) => keep(index, { state }),
        onProgress: ({ sent }) => options.onProgress(part, sent),
      });
      options.onProgress(part, part.content.size);
      digests.set(part, uploaded.digest);
      keep(index, { digest: uploaded.digest });
    }
  };
  const works = Array.from({ length: BLOBS_AT_ONCE }, () =>
    work().catch((error: unknown) => {
      failing.abort(error);
      throw error;
    }),
  );
  await Promise.allSettled(works);
  await Promise.all(works);
  let digest = "";
  for (const [index, document] of plan.documents.entries()) {
    signal.throwIfAborted();
    const isLast = index === plan.documents.length - 1;
    const [type, body] = document.kind === "given" ? [document.mediaType, document.content] : [MADE_TYPE, make(document, digests)];
    // Only the last one may be made here: what names others has their digests already.
    const reference = isLast || document.kind === "made" ? tag : document.digest;
    digest = await putManifest(repository.name, reference, type, body);
  }
  forget(key);
  return digest;
}
