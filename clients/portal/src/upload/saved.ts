// What it takes to go on with uploads after a reload: kept by the browser, without a secret.
import type { UploadState } from "../../../js/src/index.js";

/** Blobs of one image, by their place in its plan: done, or under way. */
export type Saved = Record<number, { digest: string } | { state: UploadState }>;

const KEY = "overside.uploads.";
/** For so long the service keeps what has arrived (`--upload-lifetime`), in milliseconds. */
const LIFETIME = 24 * 60 * 60 * 1000;

/** The same file for the same repository. */
export function keyOf(repository: string, files: File[], image: number): string {
  const [file] = files;
  return JSON.stringify([repository, image, files.length, file?.name, file?.size, file?.lastModified]);
}

export function load(key: string): Saved {
  try {
    const { at, saved } = JSON.parse(localStorage.getItem(KEY + key) ?? "{}") as { at?: number; saved?: Saved };
    return at !== undefined && at > Date.now() - LIFETIME ? (saved ?? {}) : {};
  } catch {
    return {};
  }
}

export function store(key: string, saved: Saved): void {
  try {
    localStorage.setItem(KEY + key, JSON.stringify({ at: Date.now(), saved }));
  } catch {
    // Without room for it the upload goes on all the same; after a reload it begins anew.
  }
}

export function forget(key: string): void {
  localStorage.removeItem(KEY + key);
}

/** Uploads that did not end, as repository and file. Those that are too old are forgotten. */
export function unfinished(): { key: string; repository: string; file: string }[] {
  const keys = Object.keys(localStorage).filter((key) => key.startsWith(KEY));
  return keys.flatMap((full) => {
    const key = full.slice(KEY.length);
    if (Object.keys(load(key)).length === 0) {
      forget(key);
      return [];
    }
    const [repository, , , file] = JSON.parse(key) as [string, number, number, string];
    return [{ key, repository, file }];
  });
}

/** Whoever is signed in no more leaves nothing for the next one. */
export function forgetAll(): void {
  try {
    for (const key of Object.keys(localStorage)) if (key.startsWith(KEY)) localStorage.removeItem(key);
  } catch {
    // A browser that keeps nothing has nothing to forget.
  }
}
