// Hashes a Blob in a browser's worker. Bundled with what it needs, so that a page serves one file.
import { serveHash } from "./hash-thread.js";
import { blobSource } from "./source.js";

onmessage = ({ data }: MessageEvent<Blob>) => void serveHash(() => blobSource(data), (message) => postMessage(message));
