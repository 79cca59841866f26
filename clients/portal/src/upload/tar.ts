const BLOCK = 512;
/** A longer name, or longer attributes of a member, is none of an image's, in bytes. */
const LONGEST_NAME = 64 * 1024;
/** Images have some hundred members. */
const MOST_MEMBERS = 100_000;

/** A file in an archive: bytes of it, which nobody has read. */
export type Members = Map<string, Blob>;

/** Reads a tar's headers; of its files nothing. Fails where it is none, or is cut off. */
export async function readTar(file: Blob): Promise<Members> {
  const members: Members = new Map();
  const links = new Map<string, string>();
  let [longName, longLink, attributes] = ["", "", new Map<string, string>()];
  let isWhole = false;
  for (let offset = 0; offset + BLOCK <= file.size && members.size < MOST_MEMBERS; ) {
    const header = new Uint8Array(await file.slice(offset, offset + BLOCK).arrayBuffer());
    isWhole = header.every((byte) => byte === 0);
    if (isWhole) break;
    if (!isHeader(header)) throw new Error("the file is no tar archive, or a damaged one");
    offset += BLOCK;
    const size = Number(attributes.get("size") ?? number(header, 124, 12));
    if (!Number.isSafeInteger(size) || size < 0 || offset + size > file.size) throw new Error("the archive is cut off: its last file is not whole");
    const content = file.slice(offset, offset + size);
    offset += Math.ceil(size / BLOCK) * BLOCK;
    const type = String.fromCharCode(header[156] ?? 0);
    if ("LKxg".includes(type)) {
      if (size > LONGEST_NAME) throw new Error("the archive has a name that is too long");
      const bytes = new Uint8Array(await content.arrayBuffer());
      if (type === "L") longName = text(bytes, 0, size);
      if (type === "K") longLink = text(bytes, 0, size);
      if (type === "x") attributes = readAttributes(bytes);
      continue;
    }
    const prefix = text(header, 257, 5) === "ustar" ? text(header, 345, 155) : "";
    const short = text(header, 0, 100);
    const name = clean(attributes.get("path") ?? (longName || (prefix === "" ? short : `${prefix}/${short}`)));
    const link = attributes.get("linkpath") ?? (longLink || text(header, 157, 100));
    if (type === "0" || type === "\0") members.set(name, content);
    // A symbolic link leads on from its own folder, a hard link from the archive's root.
    if (type === "2") links.set(name, clean(`${name.split("/").slice(0, -1).join("/")}/${link}`));
    if (type === "1") links.set(name, clean(link));
    [longName, longLink, attributes] = ["", "", new Map<string, string>()];
  }
  if (!isWhole) throw new Error("the archive is cut off: its end is missing");
  for (const [name, target] of links) {
    const content = members.get(target);
    if (content !== undefined && !members.has(name)) members.set(name, content);
  }
  return members;
}

/** By its checksum, in which its own field counts as spaces. */
function isHeader(header: Uint8Array): boolean {
  const sum = header.reduce((sum, byte, index) => sum + (index >= 148 && index < 156 ? 32 : byte), 0);
  return sum === number(header, 148, 8);
}

function text(bytes: Uint8Array, start: number, length: number): string {
  const field = bytes.subarray(start, start + length);
  const end = field.indexOf(0);
  return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
}

/** Octal digits, or in large archives of GNU's the number itself. */
function number(bytes: Uint8Array, start: number, length: number): number {
  if (((bytes[start] ?? 0) & 0x80) !== 0) {
    return bytes.subarray(start + 1, start + length).reduce((value, byte) => value * 256 + byte, 0);
  }
  return Number.parseInt(text(bytes, start, length).trim() || "0", 8);
}

/** Lines of `LENGTH KEY=VALUE` (POSIX, "pax"). */
function readAttributes(bytes: Uint8Array): Map<string, string> {
  const attributes = new Map<string, string>();
  for (let start = 0; start < bytes.length; ) {
    const space = bytes.indexOf(0x20, start);
    const length = Number(new TextDecoder().decode(bytes.subarray(start, space)));
    if (space < 0 || !Number.isSafeInteger(length) || length <= space - start) break;
    const line = new TextDecoder().decode(bytes.subarray(space + 1, start + length - 1));
    const equals = line.indexOf("=");
    attributes.set(line.slice(0, equals), line.slice(equals + 1));
    start += length;
  }
  return attributes;
}

/** `./a/../b` is `b`. Nothing leads out of the archive. */
function clean(name: string): string {
  const segments: string[] = [];
  for (const segment of name.split("/")) {
    if (segment === "..") segments.pop();
    else if (segment !== "" && segment !== ".") segments.push(segment);
  }
  return segments.join("/");
}
