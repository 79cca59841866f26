/** In bytes. `sent` and `hashed` never become less, and are `total` at the end. */
export interface UploadProgress {
  sent: number;
  hashed: number;
  total: number;
}

/** Adds up what parts have sent, and tells it without ever going back. */
export class Progress {
  readonly #parts = new Map<number, number>();
  #sum = 0;
  #sent = 0;
  #hashed = 0;

  constructor(
    private readonly total: number,
    private readonly tell: ((progress: UploadProgress) => void) | undefined,
    /** Told what `tell` has thrown: it is called where nobody could catch that. */
    private readonly fail: (error: unknown) => void,
  ) {}

  /** So much of a part is on its way; less than before where it begins anew. */
  sent(part: number, bytes: number): void {
    this.#sum += bytes - (this.#parts.get(part) ?? 0);
    this.#parts.set(part, bytes);
    this.#update(this.#sum, this.#hashed);
  }

  /** Another upload sends all of it anew. */
  restart(): void {
    this.#parts.clear();
    this.#sum = 0;
  }

  hashed(bytes: number): void {
    this.#update(this.#sent, bytes);
  }

  done(): void {
    this.#update(this.total, this.total);
    // There was nothing to tell on the way.
    if (this.total === 0) this.#report();
  }

  #update(sent: number, hashed: number): void {
    const before = this.#sent + this.#hashed;
    this.#sent = Math.min(Math.max(this.#sent, sent), this.total);
    this.#hashed = Math.max(this.#hashed, hashed);
    if (this.#sent + this.#hashed > before) this.#report();
  }

  #report(): void {
    try {
      this.tell?.({ sent: this.#sent, hashed: this.#hashed, total: this.total });
    } catch (error) {
      this.fail(error);
    }
  }
}
