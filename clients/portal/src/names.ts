// What an address names goes into paths, and into commands that people paste: only what the service takes as a name does.
import { checkDigest, checkRepository } from "../../js/src/names.js";

const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;

/** What is no name is nobody's. */
export class NoName extends Error {
  readonly status = 404;
}

export function needRepository(name: string): void {
  need(checkRepository, name);
}

/** A repository's first segment. */
export function needProject(name: string): void {
  if (name.includes("/")) throw new NoName(`${name} is no project`);
  needRepository(name);
}

/** A tag or a digest. */
export function needReference(reference: string): void {
  if (!TAG.test(reference)) need(checkDigest, reference);
}

export function isDigest(text: string): boolean {
  try {
    checkDigest(text);
    return true;
  } catch {
    return false;
  }
}

function need(check: (name: string) => void, name: string): void {
  try {
    check(name);
  } catch (error) {
    throw new NoName((error as Error).message);
  }
}
