import { open, stat } from "node:fs/promises";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { fileChanged, type Source } from "./source.js";

/** A file by its path. It is opened for each piece, so nothing is left open; `expected` is how another thread found it. */
export async function fileSource(
  input: string | URL,
  expected?: { size: number; lastModified: number | undefined },
): Promise<Source> {
  const path = input instanceof URL ? fileURLToPath(input) : input;
  const name = basename(path);
  const { size, mtimeMs: lastModified } = await stat(path);
  const check = (now: { size: number; mtimeMs: number }) => {
    const then = expected ?? { size, lastModified };
    if (now.size !== then.size || now.mtimeMs !== then.lastModified) throw fileChanged(name);
  };
  check({ size, mtimeMs: lastModified });
  return {
    size,
    name,
    lastModified,
    handle: path,
    async read(offset, length) {
      const file = await open(path).catch((error: unknown) => {
        throw fileChanged(name, error);
      });
      try {
        check(await file.stat());
        const bytes = new Uint8Array(length);
        for (let done = 0; done < length; ) {
          const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
          if (bytesRead === 0) throw fileChanged(name);
          done += bytesRead;
        }
        return bytes;
      } finally {
        await file.close();
      }
    },
    async checkUnchanged() {
      check(await stat(path).catch((error: unknown) => Promise.reject(fileChanged(name, error))));
    },
  };
}
