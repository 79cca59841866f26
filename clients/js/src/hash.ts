import { createSHA256, createSHA512 } from "hash-wasm";
import type { Source } from "./source.js";

/** The digest of a source, and SHA-256's intermediate value after each MiB of it: 32 bytes each, one after the other. */
export interface Hashed {
  digest: string;
  midstates: Uint8Array;
}

/** Part sizes are whole MiB, so there is a midstate at the end of each part, whatever the server plans. In bytes. */
const STEP = 1024 * 1024;
/** As many midstates are kept, 32 MiB of them, for a file of 1 TiB. Larger ones go without. */
const MOST_MIDSTATES = 1024 * 1024;
const LENGTH = 32;
/** Where the words lie in a state that hash-wasm saves: behind its mark, the pending block and the length. */
const WORDS = 4 + 64 + 8;
/** The words before the first byte (FIPS 180-4 §5.3.3). */
const INITIAL = "6a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19";

/** Reads and hashes all of a source. Runs in a worker. */
export async function hashSource(source: Source, onHashed: (bytes: number) => void): Promise<Hashed> {
  const sha256 = await createSHA256();
  sha256.init();
  // Another version of hash-wasm may save its state in another shape. Midstates are a help, no need.
  const count = hex(midstate(sha256.save())) === INITIAL ? Math.min(Math.floor(source.size / STEP), MOST_MIDSTATES) : 0;
  const midstates = new Uint8Array(count * LENGTH);
  for (let offset = 0; offset < source.size; ) {
    const block = await source.read(offset, Math.min(STEP, source.size - offset));
    sha256.update(block);
    offset += block.byteLength;
    const index = offset / STEP - 1;
    if (Number.isInteger(index) && index < count) midstates.set(midstate(sha256.save()), index * LENGTH);
    onHashed(offset);
  }
  return { digest: `sha256:${sha256.digest()}`, midstates };
}

/** The midstates after each part but the last, as the finalizing request takes them; none unless all are known. */
export function midstatesBetween(hashed: Hashed, partSize: number, partCount: number): string[] {
  const every = partSize / STEP;
  if (!Number.isInteger(every) || (partCount - 1) * every * LENGTH > hashed.midstates.length) return [];
  return Array.from({ length: partCount - 1 }, (_, part) => {
    const end = (part + 1) * every * LENGTH;
    return hex(hashed.midstates.subarray(end - LENGTH, end));
  });
}

/** A hash for a digest's algorithm. */
export async function hashFor(digest: string): Promise<{ update(bytes: Uint8Array): unknown; digest(): string }> {
  const algorithm = digest.startsWith("sha256:") ? "sha256" : "sha512";
  const hash = await (algorithm === "sha256" ? createSHA256() : createSHA512());
  hash.init();
  return { update: (bytes) => hash.update(bytes), digest: () => `${algorithm}:${hash.digest()}` };
}

/** The words of a saved state, which are little-endian there, as the standard writes them. */
function midstate(saved: Uint8Array): Uint8Array {
  const words = saved.slice(WORDS, WORDS + LENGTH);
  for (let at = 0; at < LENGTH; at += 4) words.subarray(at, at + 4).reverse();
  return words;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
