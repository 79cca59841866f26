import { h, type Child } from "../dom.js";
import { plan, type Plan } from "./archive.js";
import { Upload } from "./panel.js";
import { keyOf, unfinished } from "./saved.js";

/** As registries take them. */
const SEGMENT = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const NAME = `${SEGMENT}(?:/${SEGMENT})*`;
const TAG = "[A-Za-z0-9_][A-Za-z0-9_.\\-]{0,127}";

/** Where files are dropped or chosen, to be published in a repository of a project. */
export function uploadForm(project: string, known: string | undefined, onDone: () => void): HTMLElement {
  let files: File[] = [];
  const chosen = h("p", { role: "status", class: "quiet" });
  const name = h("input", { name: "repository", required: true, pattern: NAME, value: known, autocomplete: "off", spellcheck: "false" });
  const tag = h("input", { name: "tag", required: true, pattern: TAG, value: "latest", autocomplete: "off", spellcheck: "false" });
  const choose = (list: FileList | null) => {
    files = [...(list ?? [])];
    chosen.textContent = files.length === 1 ? files[0]?.name ?? "" : `${files.length} files`;
    void suggest();
  };
  /** What an archive calls its image. */
  const suggest = async () => {
    const [first] = await plan(files).catch((): Plan[] => []);
    const found = /(?:^|\/)([^/:]+)(?::([^/:]+))?$/.exec(first?.name ?? "");
    if (name.value === "" && found?.[1] !== undefined) name.value = found[1];
    if (tag.value === "latest" && found?.[2] !== undefined) tag.value = found[2];
  };
  const input = (properties: Record<string, boolean>, label: string) => {
    const chooser = h("input", { type: "file", ...properties, onchange: () => choose(chooser.files) });
    return h("label", {}, label, chooser);
  };
  const drop = h(
    "div",
    {
      class: "drop",
      ondragover: (event) => {
        event.preventDefault();
        drop.classList.add("over");
      },
      ondragleave: () => drop.classList.remove("over"),
      ondrop: (event) => {
        event.preventDefault();
        drop.classList.remove("over");
        choose((event as DragEvent).dataTransfer?.files ?? null);
      },
    },
    h("p", {}, "Drop an image's archive (docker save, or an OCI layout) or any files here."),
    input({ multiple: true }, "Files"),
    input({ webkitdirectory: true }, "A folder"),
    chosen,
  );
  const problem = h("p", { role: "alert", class: "bad" });
  const submit = async (event: Event) => {
    event.preventDefault();
    problem.textContent = "";
    const repository = `${project}/${name.value}`;
    try {
      const plans = await plan(files);
      if (plans.length === 0) throw new Error("the archive has no image");
      for (const [index, one] of plans.entries()) {
        // Several images of one archive keep their own tags.
        const own = plans.length === 1 ? tag.value : (/:([^/:]+)$/.exec(one.name ?? "")?.[1] ?? `${tag.value}-${index + 1}`);
        void new Upload(one, repository, own, keyOf(repository, files, index), onDone).run();
      }
    } catch (error) {
      problem.textContent = (error as Error).message;
    }
  };
  const open = unfinished().filter(({ repository }) => repository.startsWith(`${project}/`));
  const notes: Child = open.map(({ repository, file }) =>
    h("p", { class: "quiet" }, `The upload of ${file} to ${repository} did not end: choose the file again, and it goes on where it was.`),
  );
  return h(
    "form",
    { onsubmit: (event) => void submit(event) },
    notes,
    drop,
    h("label", {}, `Repository in ${project}`, name),
    h("label", {}, "Tag", tag),
    h("button", { class: "main" }, "Upload"),
    problem,
  );
}
