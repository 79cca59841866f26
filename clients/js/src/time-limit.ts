import { OversideError } from "./errors.js";

/** Ends work on a connection that has died without a word, which a browser does not notice by itself. */
export class TimeLimit {
  readonly #stop = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Aborted when the time is over, with `STALLED`, or when the caller's is. */
  readonly signal: AbortSignal;

  constructor(
    private readonly message: string,
    signal?: AbortSignal,
  ) {
    this.signal = signal === undefined ? this.#stop.signal : AbortSignal.any([signal, this.#stop.signal]);
  }

  /** From now on there are so many milliseconds, whatever there were before. */
  start(milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#stop.abort(new OversideError(0, "STALLED", this.message)), milliseconds);
  }

  /** Nothing is waited for. */
  end(): void {
    clearTimeout(this.#timer);
  }
}
