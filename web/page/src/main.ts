/** The page: a text, what is selected, and what is found. */

import exporter from "../../../host-test/podfence/tests/scan/shop/exporter.yaml";
import shop from "../../../host-test/podfence/tests/scan/shop/web.yaml";
import { findings as all } from "../../npm/findings.js";
import type { Config, Fixes, FullFinding, Policies, Report } from "../../npm/index.js";
import { breakable, find, make, plural, prose, toast } from "./dom.js";
import { Editor, LARGEST, type Mark, type Span } from "./editor.js";
import * as engine from "./engine.js";
import { form } from "./forms.js";
import { pack, unpack } from "./share.js";

/** How long to wait for the next key before a scan, in milliseconds. */
const PAUSE = 150;

/** The most findings that are listed: a browser draws no hundred thousand. */
const MOST = 500;

let config: Config = { enforce: "baseline", warn: "restricted" };
let known: Policies | undefined;
let found: FullFinding[] = [];
let timer = 0;
let scans = 0;

const editor = new Editor(find("editor"), schedule, showCurrent, next);

function schedule(): void {
  clearTimeout(timer);
  timer = window.setTimeout(() => void scan(), PAUSE);
}

async function scan(): Promise<void> {
  const number = ++scans;
  try {
    const report = await engine.scan(editor.text, selected());
    if (number === scans) draw(report);
  } catch (error) {
    if (number !== scans) return;
    found = [];
    editor.marks = [];
    find("findings").replaceChildren();
    find("summary").replaceChildren(
      make("strong", { class: "count error" }, "not scanned"),
      error instanceof Error ? error.message : String(error),
    );
  }
}

/** The configuration, without levels that ask for nothing where policies are selected. */
function selected(): Config {
  const { enforce, warn, ...rest } = config;
  const isOff = (level?: string) => level === undefined || level === "privileged";
  const hasPolicies = Object.keys(config.policy ?? {}).length > 0;
  return isOff(enforce) && isOff(warn) && hasPolicies ? rest : config;
}

/** Mends findings in the text. Undo takes it back. */
async function fix(fixes: Fixes): Promise<void> {
  const before = editor.text;
  try {
    const { text, count, refused } = await engine.fix(before, fixes, selected());
    if (editor.text !== before) return toast("The text changed meanwhile: nothing is fixed");
    if (count > 0) {
      editor.change(text);
      // The button goes with its finding.
      find("findings").focus({ preventScroll: true });
    }
    const why = refused.length === 0 ? "" : `${plural(refused.length, "finding")} not fixed: ${refused[0]?.why}`;
    const done = count === 0 ? "" : `${plural(count, "finding")} fixed`;
    toast([done, why].filter((part) => part !== "").join("; "));
  } catch (error) {
    toast(error instanceof Error ? error.message : String(error));
  }
}

function draw(of: Report): void {
  found = all(of);
  const listed = found.slice(0, MOST);
  const problems: Mark[] = of.problems.flatMap(({ position, message }) =>
    position === undefined ? [] : [{ ...point(position), severity: "error" as const, message }],
  );
  const counted = listed.filter(({ suppressed }) => suppressed === undefined);
  editor.marks = [...counted, ...problems];
  find("summary").replaceChildren(...summary(of));
  find("findings").replaceChildren(...list(of, listed));
  showCurrent(editor.line());
}

/** A place without an extent. */
function point({ line, col }: { line: number; col: number }): Span {
  return { line, col, end: [line, col] };
}

function summary({ summary: of, problems }: Report): (Node | string)[] {
  const counts: [number, string, string, string?][] = [
    [of.errors, "error", "error"],
    [of.warnings, "warning", "warning"],
    [problems.length, "error", "problem"],
    [of.suppressed, "quiet", "accepted finding"],
  ];
  const shown: (Node | string)[] = counts
    .filter(([count]) => count > 0)
    .map(([count, kind, what]) => make("strong", { class: `count ${kind}` }, plural(count, what)));
  if (shown.length === 0 && of.judged > 0) shown.push(make("strong", { class: "count good" }, "clean"));
  if (shown.length === 0) shown.push(make("strong", { class: "count quiet" }, "nothing to check"));
  const bins: [number, string][] = [
    [of.withoutPods, "without a pod"],
    [of.exempt, "exempt"],
    [of.owned, "left to their controllers"],
    [of.notSelected, "selected by no policy"],
    [of.notJudged, "of unknown kinds"],
    [of.unreadable, "unreadable"],
  ];
  const rest = bins.filter(([count]) => count > 0).map(([count, what]) => `${count.toLocaleString("en")} ${what}`);
  shown.push(make("span", {}, [`${plural(of.judged, "object")} checked`, ...rest].join(", ")));
  const fixable = found.filter(({ edit, suppressed }) => edit?.usual && suppressed === undefined).length;
  if (fixable > 0) {
    const title = "Applies the edits that take away what hardly a container needs. Undo takes them back.";
    shown.push(make("button", { type: "button", class: "main small", title, click: () => void fix("usual") }, `Fix ${fixable}`));
  }
  for (const note of [...of.notes, ...of.hints]) shown.push(make("p", { class: "more" }, note));
  return shown;
}

function list({ problems, summary: of }: Report, listed: FullFinding[]): Node[] {
  const nodes: Node[] = [];
  if (problems.length > 0) {
    const items = problems.slice(0, MOST).map(({ position, message }) => {
      const show = () => position && editor.show(point(position));
      const where = position === undefined ? "the whole text" : `line ${position.line}, column ${position.col}`;
      return make(
        "li",
        { class: "finding error", "data-line": position?.line ?? 0 },
        make("button", { type: "button", click: show }, ...entry("✕", message, "", where)),
      );
    });
    nodes.push(make("h2", {}, "Could not be checked"), make("ul", {}, ...items));
  }
  const groups = new Map<string, FullFinding[]>();
  const isError = ({ severity, suppressed }: FullFinding) => severity === "error" && suppressed === undefined;
  const errorsFirst = [...listed.filter(isError), ...listed.filter((finding) => !isError(finding))];
  for (const finding of errorsFirst) {
    const { kind, namespace, name } = finding.object ?? { kind: "", namespace: "", name: "" };
    const title = [kind, [namespace, name].filter((part) => part).join("/")].filter((part) => part).join(" ");
    groups.set(title, [...(groups.get(title) ?? []), finding]);
  }
  for (const [title, group] of groups) {
    nodes.push(make("h2", {}, title || "the text"), make("ul", {}, ...group.map(item)));
  }
  if (found.length > listed.length) {
    nodes.push(make("p", { class: "empty" }, `${plural(found.length - listed.length, "more finding")} not shown`));
  }
  if (nodes.length === 0) nodes.push(nothing(of.judged));
  return nodes;
}

function item(finding: FullFinding): HTMLElement {
  const { severity, message, fix: how, line, policy, control, level, docs, suppressed, edit, fingerprint } = finding;
  const by = level ?? policy;
  const of = [`line ${line}`, control === by ? by : `${control}, ${by}`];
  if (suppressed !== undefined) of.push(`accepted: ${suppressed.reason}`);
  const mark = suppressed === undefined ? (severity === "error" ? "✕" : "!") : "–";
  const kind = suppressed === undefined ? severity : "suppressed";
  const show = () => editor.show(finding);
  const link = { class: "docs", href: docs, target: "_blank", rel: "noopener", "aria-label": `docs of ${policy}` };
  const button = { type: "button", class: "small", "aria-label": `Fix: ${message}`, click: () => void fix([fingerprint]) };
  return make(
    "li",
    { class: `finding ${kind}`, "data-line": line },
    make("button", { type: "button", click: show }, ...entry(mark, message, how, of.join(" · "))),
    edit !== undefined && suppressed === undefined && make("button", button, "Fix"),
    docs.startsWith("https://") && make("a", link, "docs"),
  );
}

function entry(mark: string, message: string, fix: string, of: string): Node[] {
  const nodes = [make("span", { class: "mark", "aria-hidden": "true" }, mark), make("span", { class: "message" }, breakable(message))];
  if (fix !== "") nodes.push(make("span", { class: "fix" }, breakable(fix)));
  nodes.push(make("span", { class: "of" }, of));
  return nodes;
}

function nothing(judged: number): HTMLElement {
  const texts = judged > 0
    ? "Nothing to report. Every pod here meets what you selected."
    : "Paste manifests on the left, drop a file there, or take an example.";
  return make("div", { class: "empty" }, make("p", {}, texts));
}

/** Marks the findings of the line of the cursor. */
function showCurrent(line: number): void {
  for (const element of document.querySelectorAll<HTMLElement>(".finding")) {
    element.classList.toggle("current", element.dataset["line"] === String(line));
  }
}

/** Goes to the next finding, or to the one before. */
function next(step: 1 | -1): boolean {
  const counted = found.filter(({ suppressed }) => suppressed === undefined);
  const here = editor.line();
  const ahead = step === 1
    ? counted.find(({ line }) => line > here) ?? counted[0]
    : counted.findLast(({ line }) => line < here) ?? counted.at(-1);
  if (ahead !== undefined) editor.show(ahead);
  return true;
}

function drawSelection(of: Policies): void {
  for (const field of ["enforce", "warn"] as const) {
    const select = find<HTMLSelectElement>(field);
    const given = config[field] ?? "privileged";
    const levels = of.levels.includes(given) ? of.levels : [...of.levels, given];
    const name = (level: string) => (level === "privileged" ? "nothing" : level);
    select.replaceChildren(...levels.map((level) => make("option", { value: level }, name(level))));
    select.value = given;
  }
  const box = find("policies");
  box.replaceChildren(...of.policies.filter(({ name }) => name !== "pod-security-standards").map((policy) => choice(policy, of)));
  drawCount();
}

function drawCount(): void {
  const count = Object.keys(config.policy ?? {}).length;
  find("choose").textContent = count === 0 ? "Policies" : `Policies (${count})`;
}

/** A policy to select, with its form once it is. */
function choice(policy: Policies["policies"][number], of: Policies): HTMLElement {
  const { name, title, description } = policy;
  const box = make("input", { type: "checkbox" });
  box.checked = config.policy?.[name] !== undefined;
  const element = make("div", { class: "policy" }, make("label", {}, box, make("strong", {}, title), make("span", {}, prose(description))));
  const drawForm = () => {
    element.querySelector(".settings")?.remove();
    const chosen = config.policy?.[name];
    const common = of.settings.filter(({ path }) => policy.common.includes(path));
    if (chosen !== undefined) element.append(form(policy, common, (chosen.settings ??= {}), schedule));
  };
  box.addEventListener("change", () => {
    const policies = (config.policy ??= {});
    if (box.checked) policies[name] = {};
    else delete policies[name];
    drawForm();
    drawCount();
    schedule();
  });
  drawForm();
  return element;
}

function drawExamples(of: Policies): void {
  const select = find<HTMLSelectElement>("examples");
  const examples = new Map<string, { text: string; config?: Config }>([
    ["A web shop", { text: shop }],
    ["An exporter, with an exception", { text: exporter }],
  ]);
  const ofPolicies = make("optgroup", { label: "Of each policy" });
  for (const { name, title, example } of of.policies) {
    const isStandard = name === "pod-security-standards";
    examples.set(name, { text: example, config: isStandard ? { enforce: "restricted" } : { policy: { [name]: {} } } });
    ofPolicies.append(make("option", { value: name }, title));
  }
  const own = [...examples.keys()].slice(0, 2).map((name) => make("option", { value: name }, name));
  select.replaceChildren(make("option", { value: "" }, "choose…"), ...own, ofPolicies);
  select.addEventListener("change", () => {
    const chosen = examples.get(select.value);
    select.value = "";
    if (chosen === undefined) return;
    config = structuredClone(chosen.config ?? { enforce: "baseline", warn: "restricted" });
    drawSelection(of);
    editor.text = chosen.text;
    schedule();
  });
}

async function open(file: File | undefined): Promise<void> {
  if (file === undefined) return;
  if (file.size > LARGEST) return toast(`${file.name} has more than 1 MiB: podfence scan takes any size`);
  const bytes = new Uint8Array(await file.arrayBuffer());
  const isWide = (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);
  const encoding = !isWide ? "utf-8" : bytes[0] === 0xff ? "utf-16le" : "utf-16be";
  editor.text = new TextDecoder(encoding).decode(bytes);
}

function listen(of: Policies): void {
  for (const field of ["enforce", "warn"] as const) {
    const select = find<HTMLSelectElement>(field);
    select.addEventListener("change", () => {
      config[field] = select.value;
      schedule();
    });
  }
  find("choose").addEventListener("click", () => {
    const box = find("policies");
    box.hidden = !box.hidden;
    find("choose").setAttribute("aria-expanded", String(!box.hidden));
  });
  find("share").addEventListener("click", () => void share());
  const file = find<HTMLInputElement>("file");
  find("open").addEventListener("click", () => file.click());
  file.addEventListener("change", () => {
    void open(file.files?.[0]);
    file.value = "";
  });
  const source = find("source");
  source.addEventListener("dragover", (event) => {
    event.preventDefault();
    source.classList.add("dropping");
  });
  source.addEventListener("dragleave", () => source.classList.remove("dropping"));
  source.addEventListener("drop", (event) => {
    source.classList.remove("dropping");
    const dropped = event.dataTransfer?.files[0];
    if (dropped === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    void open(dropped);
  }, true);
  addEventListener("hashchange", () => void restore(of));
}

async function share(): Promise<void> {
  history.replaceState(null, "", await pack({ text: editor.text, config }));
  try {
    await navigator.clipboard.writeText(location.href);
    toast("The link is copied. It holds the text itself, which stays out of every server.");
  } catch {
    toast("The link is in the address bar. It holds the text itself, which stays out of every server.");
  }
}

/** Takes the state of the link, if it has one. */
async function restore(of: Policies): Promise<boolean> {
  try {
    const state = await unpack(location.hash);
    if (state === undefined) return false;
    config = state.config;
    drawSelection(of);
    editor.text = state.text;
    schedule();
    return true;
  } catch (error) {
    toast(`The link cannot be read: ${error instanceof Error ? error.message : String(error)}`);
    return false;
  }
}

const THEMES = ["system", "light", "dark"];
const darkness = matchMedia("(prefers-color-scheme: dark)");

function drawTheme(): void {
  const theme = localStorage.getItem("theme") ?? "system";
  find("theme").textContent = `Theme: ${theme}`;
  document.documentElement.dataset["theme"] = theme === "system" ? (darkness.matches ? "dark" : "light") : theme;
}

function listenToTheme(): void {
  find("theme").addEventListener("click", () => {
    const theme = localStorage.getItem("theme") ?? "system";
    localStorage.setItem("theme", THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "system");
    drawTheme();
  });
  darkness.addEventListener("change", drawTheme);
  drawTheme();
}

async function start(): Promise<void> {
  listenToTheme();
  known = await engine.policies();
  find("version").textContent = `Podfence ${known.version}`;
  drawExamples(known);
  listen(known);
  if (!(await restore(known))) {
    drawSelection(known);
    editor.text = shop;
  }
  await scan();
  document.body.dataset["ready"] = "";
  if ("serviceWorker" in navigator && isSecureContext) await navigator.serviceWorker.register("./offline.js");
}

start().catch((error: unknown) => {
  find("summary").textContent = `The page cannot start: ${error instanceof Error ? error.message : String(error)}`;
});
