// What a page does with the client; the test calls it and looks at what it notes.
import { Overside } from "/dist/bundle.js";

const noted = { progress: [], violations: [] };
document.addEventListener("securitypolicyviolation", (event) => noted.violations.push(event.violatedDirective));

const chosen = () => document.querySelector("input").files[0];

async function upload({ repository, concurrency, mode, ...service }) {
  try {
    const result = await new Overside(service).repository(repository).upload(chosen(), {
      concurrency,
      mode,
      resume: JSON.parse(localStorage.getItem("upload") ?? "null"),
      onState: (state) => localStorage.setItem("upload", JSON.stringify(state)),
      onProgress: (progress) => noted.progress.push(progress),
    });
    localStorage.removeItem("upload");
    return { result };
  } catch (error) {
    return { error: { name: error.name, code: error.code, status: error.status, message: error.message } };
  }
}

async function download({ repository, digest, ...service }) {
  const stream = await new Overside(service).repository(repository).download(digest);
  return (await new Response(stream).arrayBuffer()).byteLength;
}

Object.assign(window, { overside: { upload, download, noted } });
