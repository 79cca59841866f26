import { open, stat } from "node:fs/promises";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { fileChanged, type Source } from "./source.js";

/** A file by its path, open until it is closed; `expected` is how another thread found it. */
export async function fileSource(
  input: string | URL,
  expected?: { size: number; lastModified: number | undefined },
): Promise<Source> {
  const path = input instanceof URL ? fileURLToPath(input) : input;
  const name = basename(path);
  // Those that are gone since were removed; whatever else the system says is no word about the bytes.
  const gone = (error: NodeJS.ErrnoException) => {
    throw error.code === "ENOENT" ? fileChanged(name, error) : error;
  };
  const find = async () => {
    const found = await stat(path);
    if (!found.isFile()) throw irregular(path);
    return found;
  };
  const { size, mtimeMs } = await (expected === undefined ? find() : find().catch(gone));
  const lastModified = Math.trunc(mtimeMs);
  const then = expected ?? { size, lastModified };
  const check = (now: { size: number; mtimeMs: number }) => {
    if (now.size !== then.size || Math.trunc(now.mtimeMs) !== then.lastModified) throw fileChanged(name);
  };
  check({ size, mtimeMs });
  const file = await open(path).catch(gone);
  // Those of /proc say that they are empty, and are not.
  if (size === 0 && (await file.read(new Uint8Array(1))).bytesRead > 0) {
    await file.close();
    throw irregular(path);
  }
  return {
    size,
    name,
    lastModified,
    handle: path,
    async read(offset, length) {
      check(await file.stat());
      const bytes = new Uint8Array(length);
      for (let done = 0; done < length; ) {
        const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
        if (bytesRead === 0) throw fileChanged(name);
        done += bytesRead;
      }
      return bytes;
    },
    async checkUnchanged() {
      check(await stat(path).catch(gone));
    },
    close: () => file.close(),
  };
}

function irregular(path: string): TypeError {
  return new TypeError(`${path} is no regular file: upload one, such as a copy of what can be read from it`);
}
