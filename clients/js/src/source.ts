import { OversideError } from "./errors.js";

/** The bytes of an upload, read piece by piece. */
export interface Source {
  readonly size: number;
  readonly name: string | undefined;
  /** In milliseconds since 1970, where the source knows it. */
  readonly lastModified: number | undefined;
  /** What another thread opens it by. */
  readonly handle: Blob | string;
  /** Throws `FILE_CHANGED` if the bytes are not those any more that it was opened with. */
  read(offset: number, size: number): Promise<Uint8Array<ArrayBuffer>>;
  /** As `read`, for what is not read: at the end of an upload. */
  checkUnchanged(): Promise<void>;
  close(): Promise<void>;
}

/** How much is read at a time to be sent by `fetch`, in bytes. */
const PIECE = 256 * 1024;

/** What a file that is gone or another one fails with (File API §6). */
const UNREADABLE = ["NotFoundError", "NotReadableError"];

/** A Blob or File. A browser refuses to read a file that was changed since somebody chose it. */
export function blobSource(blob: Blob): Source {
  const file = blob as Partial<File>;
  const read = async (offset: number, size: number) => {
    try {
      return new Uint8Array(await blob.slice(offset, offset + size).arrayBuffer());
    } catch (error) {
      throw UNREADABLE.includes((error as Error).name) ? fileChanged(file.name, error) : error;
    }
  };
  return {
    size: blob.size,
    name: file.name,
    lastModified: file.lastModified,
    handle: blob,
    read,
    // Its first byte is as good as all: a file that was changed has no readable ones.
    checkUnchanged: async () => void (await read(0, 1)),
    close: async () => undefined,
  };
}

export function fileChanged(name: string | undefined, cause?: unknown): OversideError {
  const message = `${name ?? "the file"} was changed, moved or removed while it was uploaded; upload it again`;
  return new OversideError(0, "FILE_CHANGED", message, { cause });
}

/** The bytes from `offset` on, in pieces; `onRead` is told after each that was taken. */
export async function* pieces(source: Source, offset: number, size: number, onRead: (bytes: number) => void) {
  for (let done = 0; done < size; ) {
    const piece = await source.read(offset + done, Math.min(PIECE, size - done));
    yield piece;
    done += piece.byteLength;
    onRead(done);
  }
}
