import { repository } from "../api.js";
import { h, size } from "../dom.js";
import type { Part, Plan } from "./archive.js";
import { push } from "./push.js";
import { forget } from "./saved.js";

const list = h("ul");
const announced = h("p", { role: "status", class: "quiet" });
const overall = h("progress", { max: 1, value: 0, "aria-label": "All uploads" });

/** All uploads of this page: they go on whatever else it shows. */
export const panel = h("section", { class: "uploads", "aria-label": "Uploads", hidden: true }, announced, overall, list);

const running = new Map<Upload, number>();

/** Whether leaving the page would stop something. */
export function isBusy(): boolean {
  return [...running.keys()].some((upload) => upload.isRunning);
}

/** Ends all uploads: they are of somebody who is not here any more. */
export function stopAll(): void {
  for (const upload of [...running.keys()]) upload.end();
  announced.textContent = "";
}

addEventListener("beforeunload", (event) => {
  if (isBusy()) event.preventDefault();
});

function showOverall(): void {
  const [sent, total] = [...running.keys()].reduce(([sent, total], one) => [sent + one.sent, total + one.total], [0, 0]);
  overall.max = Math.max(total, 1);
  overall.value = sent;
}

/** One image or artifact on its way. */
export class Upload {
  readonly total: number;
  isRunning = false;
  readonly #sent = new Map<Part, number>();
  readonly #bars = new Map<Part, HTMLProgressElement>();
  readonly #bar: HTMLProgressElement;
  readonly #said = h("span", { class: "quiet" });
  readonly #pause = h("button", { type: "button", onclick: () => (this.isRunning ? this.#stop(true) : void this.run()) }, "Pause");
  readonly #cancel = h("button", { type: "button", onclick: () => this.end() }, "Cancel");
  readonly #item: HTMLLIElement;
  #control = new AbortController();
  #isPaused = false;

  constructor(
    readonly plan: Plan,
    readonly repositoryName: string,
    readonly tag: string,
    readonly key: string,
    readonly onDone: () => void,
  ) {
    const title = `${repositoryName}:${tag}`;
    this.total = plan.parts.reduce((sum, { content }) => sum + content.size, 0);
    this.#bar = h("progress", { max: Math.max(this.total, 1), value: 0, "aria-label": title });
    const parts = plan.parts.map((part) => {
      const bar = h("progress", { max: Math.max(part.content.size, 1), value: 0, "aria-label": part.name });
      this.#bars.set(part, bar);
      return h("li", {}, h("div", { class: "line" }, h("code", {}, part.name), h("span", { class: "quiet" }, size(part.content.size))), bar);
    });
    const details = h("details", {}, h("summary", {}, `${parts.length} blobs`), h("ul", {}, parts));
    const buttons = h("span", {}, this.#pause, " ", this.#cancel);
    this.#item = h("li", {}, h("div", { class: "line" }, h("strong", {}, title), this.#said, buttons), this.#bar, details);
    list.append(this.#item);
    panel.hidden = false;
    running.set(this, 0);
  }

  get sent(): number {
    return [...this.#sent.values()].reduce((sum, one) => sum + one, 0);
  }

  async run(): Promise<void> {
    this.#control = new AbortController();
    this.#isPaused = false;
    this.isRunning = true;
    this.#pause.textContent = "Pause";
    this.#say("Uploading");
    try {
      const digest = await push(this.plan, {
        repository: repository(this.repositoryName),
        tag: this.tag,
        key: this.key,
        signal: this.#control.signal,
        keepOnAbort: () => this.#isPaused,
        onProgress: (part, sent) => this.#progress(part, sent),
      });
      this.#say(`Done: ${digest}`);
      this.#pause.remove();
      this.#cancel.textContent = "Close";
      this.onDone();
    } catch (error) {
      if (!this.#control.signal.aborted) this.#say(`Stopped: ${(error as Error).message}`, true);
      this.#pause.textContent = "Resume";
    } finally {
      this.isRunning = false;
      showOverall();
    }
  }

  #progress(part: Part, sent: number): void {
    this.#sent.set(part, sent);
    const bar = this.#bars.get(part);
    if (bar !== undefined) bar.value = sent;
    this.#bar.value = this.sent;
    this.#said.textContent = `${size(this.sent)} of ${size(this.total)}`;
    showOverall();
  }

  #say(text: string, isBad = false): void {
    this.#said.textContent = text;
    this.#said.className = isBad ? "bad" : "quiet";
    announced.textContent = `${this.repositoryName}:${this.tag}: ${text}`;
  }

  #stop(isPause: boolean): void {
    this.#isPaused = isPause;
    this.#control.abort(new DOMException("stopped", "AbortError"));
    this.#say(isPause ? "Paused" : "Cancelled");
  }

  end(): void {
    if (this.isRunning) this.#stop(false);
    forget(this.key);
    this.#item.remove();
    running.delete(this);
    panel.hidden = running.size === 0;
    showOverall();
  }
}
