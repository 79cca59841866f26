// Hashes a file or a Blob in a thread of Node.
import { parentPort, workerData } from "node:worker_threads";
import { fileSource } from "./file-source.js";
import { serveHash } from "./hash-thread.js";
import { blobSource } from "./source.js";

const { handle, size, lastModified } = workerData as { handle: Blob | string; size: number; lastModified?: number };
const open = () => (typeof handle === "string" ? fileSource(handle, { size, lastModified }) : blobSource(handle));
void serveHash(open, (message) => parentPort?.postMessage(message));
