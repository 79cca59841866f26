/** In bytes. `sent` and `hashed` never become less, and are `total` at the end. */
export interface UploadProgress {
  sent: number;
  hashed: number;
  total: number;
}

/** Adds up what parts have sent, and tells it without ever going back. */
export class Progress {
  readonly #parts = new Map<number, number>();
  #sent = 0;
  #hashed = 0;

  constructor(
    private readonly total: number,
    private readonly tell: ((progress: UploadProgress) => void) | undefined,
  ) {}

  /** So much of a part is on its way; less than before where it begins anew. */
  sent(part: number, bytes: number): void {
    this.#parts.set(part, bytes);
    let sum = 0;
    for (const sent of this.#parts.values()) sum += sent;
    this.#update(sum, this.#hashed);
  }

  hashed(bytes: number): void {
    this.#update(this.#sent, bytes);
  }

  done(): void {
    this.#update(this.total, this.total);
  }

  #update(sent: number, hashed: number): void {
    const before = this.#sent + this.#hashed;
    this.#sent = Math.min(Math.max(this.#sent, sent), this.total);
    this.#hashed = Math.max(this.#hashed, hashed);
    if (this.#sent + this.#hashed > before) {
      this.tell?.({ sent: this.#sent, hashed: this.#hashed, total: this.total });
    }
  }
}
