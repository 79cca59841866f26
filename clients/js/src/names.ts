// What goes into a path is checked here: with `..` in it a stored state or a pasted digest would reach another endpoint.

/** As the server takes them (OCI distribution specification 1.1, "Pulling manifests"). */
const SEGMENT = "[a-z0-9]+(?:(?:\\.|__?|-+)[a-z0-9]+)*";
const REPOSITORY = new RegExp(`^${SEGMENT}(?:/${SEGMENT})*$`);
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

export function checkRepository(name: string): void {
  if (!REPOSITORY.test(name)) throw new TypeError(`${name} is no repository: write it like team/app, in small letters`);
}

export function checkUuid(uuid: string): void {
  if (!UUID.test(uuid)) throw new TypeError(`${uuid} is no upload's UUID: give what onState told, or its uuid`);
}

export function checkDigest(digest: string): void {
  if (!DIGEST.test(digest)) {
    throw new TypeError(`${digest} is no digest: write it like sha256: and 64 small hexadecimal digits, or sha512: and 128`);
  }
}
