import { OversideError } from "./errors.js";
import type { Put } from "./platform.js";
import type { Progress } from "./progress.js";
import type { SignTerms, UploadSession } from "./session.js";
import { sendSigned, type SignedRequest } from "./signed-put.js";
import type { SignedPart, SignedParts } from "./wire.js";

/** URLs that are asked for at a time: none ages while it waits its turn, and there is one request for 100 parts. */
const SIGNED_AT_ONCE = 100;

/** The parts of one upload, sent side by side. */
export class Parts {
  readonly #signed = new Map<number, { part: SignedPart; expires: number }>();
  readonly #etags = new Map<number, string>();
  /** In order; whoever sends takes the first. */
  readonly #missing: number[] = [];
  #signing: Promise<void> | undefined;

  constructor(
    private readonly session: UploadSession,
    private readonly plan: SignedParts,
    private readonly terms: SignTerms,
    private readonly body: Omit<Put, "url" | "headers" | "offset" | "size" | "onSent">,
    private readonly progress: Progress,
  ) {
    const { size } = body.source;
    if (plan.part_count !== Math.ceil(size / plan.part_size)) throw unexpected("a plan that does not fit the file");
    const whole = plan.received.filter((part) => part.size === this.#sizeOf(part.part_number));
    for (const part of whole) progress.sent(part.part_number, part.size);
    const received = new Set(whole.map((part) => part.part_number));
    for (let number = 1; number <= plan.part_count; number++) if (!received.has(number)) this.#missing.push(number);
    this.#keep(plan);
  }

  /** Sends what has not arrived. Gives every part's ETag, where it has sent them all and the store let it see them. */
  async send(concurrency: number): Promise<{ part_number: number; etag: string }[] | undefined> {
    const one = async () => {
      for (let number = this.#missing.shift(); number !== undefined; number = this.#missing.shift()) {
        await this.#sendPart(number);
      }
    };
    await Promise.all(Array.from({ length: concurrency }, one));
    if (this.#etags.size < this.plan.part_count) return undefined;
    const etags = [...this.#etags].sort(([a], [b]) => a - b);
    return etags.map(([part_number, etag]) => ({ part_number, etag }));
  }

  async #sendPart(number: number): Promise<void> {
    const first = await this.#request(number);
    const [offset, size] = [(number - 1) * this.plan.part_size, this.#sizeOf(number)];
    const onSent = (bytes: number) => this.progress.sent(number, bytes);
    const again = async () => {
      await this.#sign(number, number);
      return this.#taken(number);
    };
    const etag = await sendSigned({ ...this.body, offset, size, onSent }, first, again);
    if (etag !== null) this.#etags.set(number, etag);
  }

  /** The signed request for a part: one that was given already, or one of a new batch that begins with it. */
  async #request(number: number): Promise<SignedRequest> {
    while (this.#signing !== undefined) await this.#signing;
    const known = this.#signed.get(number);
    // It saves sending a part for nothing, no more.
    if (known === undefined || known.expires <= Date.now()) {
      let last = number;
      while (last - number < SIGNED_AT_ONCE - 1 && this.#missing.includes(last + 1)) last++;
      this.#signing = this.#sign(number, last).finally(() => (this.#signing = undefined));
      await this.#signing;
    }
    return this.#taken(number);
  }

  async #sign(first: number, last: number): Promise<void> {
    const signed = await this.session.sign({ ...this.terms, parts: `${first}-${last}` }, this.body.signal);
    if (signed.mode !== "multipart") throw unexpected("one PUT for an upload in parts");
    this.#keep(signed);
  }

  #keep({ parts, expires_at }: SignedParts): void {
    // URLs that have expired when they arrive show that it is this machine's clock that is wrong.
    const end = Date.parse(expires_at);
    const expires = end > Date.now() ? end : Number.POSITIVE_INFINITY;
    for (const part of parts) {
      const isPlanned =
        part.offset === (part.part_number - 1) * this.plan.part_size && part.size === this.#sizeOf(part.part_number);
      if (!isPlanned) throw unexpected("a part that does not fit the plan");
      this.#signed.set(part.part_number, { part, expires });
    }
  }

  #taken(number: number): SignedRequest {
    const known = this.#signed.get(number);
    if (known === undefined) throw unexpected("other parts than were asked for");
    this.#signed.delete(number);
    return known.part;
  }

  #sizeOf(number: number): number {
    return Math.min(this.plan.part_size, this.body.source.size - (number - 1) * this.plan.part_size);
  }
}

function unexpected(what: string): OversideError {
  return new OversideError(0, "UNEXPECTED_ANSWER", `the server gave ${what}`);
}
