// Uppy 6 with Overside: one PUT a file, for which `signRequest` asks the server. In parts Uppy would complete the upload in the
// bucket by itself, and nobody would have proven what is in it; for large files there is ../upload.js.

import AwsS3 from "@uppy/aws-s3";
import Uppy from "@uppy/core";

import { Sha256 } from "../sha256.js";

const READ = 2 ** 20; // bytes hashed at a time

// Options: `server`, `repository`, and `authorization` for the server, such as "Basic …".
export function uppyFor({ server, repository, authorization }) {
  const uppy = new Uppy({ autoProceed: false });

  const call = async (method, url) => {
    const answer = await fetch(url, { method, headers: authorization ? { Authorization: authorization } : {} });
    if (!answer.ok) throw new Error(`${url} answered ${answer.status}: ${await answer.text()}`);
    return answer;
  };

  // Before any byte: what the digest is, and an upload of the file's own.
  uppy.addPreProcessor(async (ids) => {
    for (const id of ids) {
      const digest = await hash(uppy.getFile(id).data);
      const begun = await call("POST", `${server}/v2/${repository}/blobs/uploads/`);
      uppy.setFileMeta(id, { digest, upload: new URL(begun.headers.get("Location"), begun.url).href });
    }
  });

  uppy.use(AwsS3, {
    shouldUseMultipart: false,
    generateObjectKey: (file) => file.id,
    async signRequest({ key }) {
      const { size, meta } = uppy.getFile(key);
      const query = new URLSearchParams({ presigned: true, mode: "put", size, digest: meta.digest });
      const signed = await (await call("GET", `${meta.upload}?${query}`)).json();
      // The browser says the length itself, and lets nobody else.
      const { "content-length": _, ...headers } = signed.headers;
      return { url: signed.presigned_url, headers };
    },
  });

  // After the last: Overside proves the digest, and the blob is there.
  uppy.addPostProcessor(async (ids) => {
    for (const id of ids) {
      const { error, meta } = uppy.getFile(id);
      if (!error) await call("PUT", `${meta.upload}?digest=${meta.digest}`);
    }
  });
  return uppy;
}

async function hash(blob) {
  const sha256 = new Sha256();
  for (let at = 0; at < blob.size; at += READ) {
    sha256.update(new Uint8Array(await blob.slice(at, at + READ).arrayBuffer()));
  }
  return `sha256:${sha256.digest()}`;
}
