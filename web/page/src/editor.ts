/** The text, with the lines and the places of findings marked in it. */

import { createEditor, languageMap, type PrismEditor } from "prism-code-editor";
import { addEditorHotkey, editHistory, indentSelectedLines, insertLineAndIndent, insertTab, toggleComment } from "prism-code-editor/commands";
import { getLineBefore } from "prism-code-editor/utils";

import type { Severity } from "../../npm/index.js";
import { make, toast } from "./dom.js";
import { LANGUAGE } from "./highlight.js";

/** Where a part of the text starts, and line and column behind its last character. */
export type Span = { line: number; col: number; end: [line: number, col: number] };

/** A place in the text, and what is said about it. */
export type Mark = Span & { severity: Severity; message: string };

/** The most characters of a text: a browser draws no hundred thousand lines. */
export const LARGEST = 1 << 20;

const SEVERITIES: Severity[] = ["error", "warning"];

/** Of a hotkey: the bit of the shift key. */
const SHIFT = "8+";

/** How many changes can be undone. Each of them keeps the whole text. */
const STEPS = 100;

/** How many messages the tip of a line shows. */
const MOST = 8;

languageMap[LANGUAGE] = {
  comments: { line: "#" },
  autoIndent: [([start], text) => /[:[{]$/.test(getLineBefore(text, start))],
};

/** The offset in a line of a column. Columns are code points, offsets are UTF-16 units. */
function units(line: string, col: number): number {
  let [offset, column] = [0, 1];
  for (const character of line) {
    if (column >= col) break;
    offset += character.length;
    column += 1;
  }
  return offset;
}

/** The text node of a line, and the offset in it, where so many units of the line are before. */
function place(line: Node, before: number): [Node, number] {
  const walker = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
  let rest = before;
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
    const { length } = node as Text;
    if (rest <= length) return [node, rest];
    rest -= length;
  }
  return [line, line.childNodes.length];
}

export class Editor {
  readonly #editor: PrismEditor;
  readonly #tip = make("ul", { class: "tip", hidden: true });
  #marks = new Map<number, Mark[]>();

  constructor(host: HTMLElement, changed: () => void, moved: (line: number) => void, next: (step: 1 | -1) => boolean) {
    const editor = createEditor(host, { language: LANGUAGE, value: "", tabSize: 2 }, editHistory(STEPS));
    this.#editor = editor;
    editor.textarea.setAttribute("aria-label", "Manifests, YAML or JSON; Escape and Tab leave the text");
    const tab = () => {
      const [start, end] = editor.getSelection();
      return start === end ? insertTab(editor, start) : indentSelectedLines(editor);
    };
    addEditorHotkey(editor, "Tab", tab);
    addEditorHotkey(editor, `${SHIFT}Tab`, () => indentSelectedLines(editor, true));
    addEditorHotkey(editor, "Enter", () => insertLineAndIndent(editor));
    addEditorHotkey(editor, "Mod+/", () => toggleComment(editor));
    addEditorHotkey(editor, "F8", () => next(1));
    addEditorHotkey(editor, `${SHIFT}F8`, () => next(-1));
    editor.on("update", () => this.#hideTip());
    editor.on("update", changed);
    editor.on("selectionChange", () => moved(this.line()));
    editor.wrapper.append(this.#tip);
    editor.textarea.addEventListener("paste", (event) => this.#paste(event));
    editor.textarea.addEventListener("pointermove", (event) => this.#showTip(event));
    editor.textarea.addEventListener("pointerleave", () => this.#hideTip());
  }

  get text(): string {
    return this.#editor.value;
  }

  /** Replaces the text, and shows its start. */
  set text(text: string) {
    this.change(text);
    this.#select(0, 0);
    this.#editor.container.scrollTo(0, 0);
  }

  /** Replaces the part in which a text differs, so that the cursor stays. Undo takes it back. */
  change(text: string): void {
    const old = this.#editor.value;
    const wanted = text.replaceAll(/\r\n?/g, "\n");
    const least = Math.min(old.length, wanted.length);
    let [start, end] = [0, 0];
    while (start < least && old[start] === wanted[start]) start += 1;
    while (end < least - start && old[old.length - 1 - end] === wanted[wanted.length - 1 - end]) end += 1;
    this.#replace(wanted.slice(start, wanted.length - end), start, old.length - end, "preserve");
  }

  set marks(marks: Mark[]) {
    this.#marks.clear();
    for (const mark of marks) {
      const { line } = mark;
      this.#marks.set(line, [...(this.#marks.get(line) ?? []), mark]);
    }
    const { lines, wrapper } = this.#editor;
    for (const line of wrapper.querySelectorAll(".found")) line.classList.remove("found", ...SEVERITIES);
    for (const [number, of] of this.#marks) {
      // An error hides a warning on the same line.
      const severity = of.some((mark) => mark.severity === "error") ? "error" : "warning";
      lines[number]?.classList.add("found", severity);
    }
    // What browsers lack that do not underline places: they still show the lines.
    if (!("highlights" in CSS)) return;
    for (const severity of SEVERITIES) {
      const ranges = marks.filter((mark) => mark.severity === severity).flatMap((mark) => this.#range(mark) ?? []);
      CSS.highlights.set(severity, new Highlight(...ranges));
    }
  }

  line(): number {
    return this.#editor.activeLine;
  }

  /** Selects a span and scrolls to it. */
  show(span: Span): void {
    const { textarea, lines } = this.#editor;
    const from = this.#offset(span.line, span.col);
    const to = Math.max(from, this.#offset(...span.end));
    textarea.focus({ preventScroll: true });
    this.#select(from, to);
    lines[this.line()]?.scrollIntoView({ block: "center", inline: "nearest" });
  }

  /** Replaces a part of the text, as a step of its own in the history: without a change of the selection, it joins steps. */
  #replace(text: string, start: number, end: number, cursor: SelectionMode): void {
    const { textarea } = this.#editor;
    const inputType = "insertReplacementText";
    this.#select(textarea.selectionStart, textarea.selectionEnd);
    textarea.dispatchEvent(new InputEvent("beforeinput", { inputType }));
    textarea.setRangeText(text, start, end, cursor);
    textarea.dispatchEvent(new InputEvent("input", { inputType }));
    this.#select(textarea.selectionStart, textarea.selectionEnd);
  }

  /** Much faster than the browser, which inserts line by line. */
  #paste(event: ClipboardEvent): void {
    const text = event.clipboardData?.getData("text/plain") ?? "";
    event.preventDefault();
    if (text.length > LARGEST) return toast("The clipboard has more than 1 MiB: podfence scan takes any size");
    const { textarea } = this.#editor;
    this.#replace(text.replaceAll(/\r\n?/g, "\n"), textarea.selectionStart, textarea.selectionEnd, "end");
  }

  #select(from: number, to: number): void {
    const { textarea } = this.#editor;
    textarea.setSelectionRange(from, to, "backward");
    textarea.dispatchEvent(new Event("selectionchange"));
  }

  /** The text of a line; none behind the last one. */
  #of(line: number): string | undefined {
    return this.#editor.lines[line]?.textContent?.slice(0, -1);
  }

  #offset(line: number, col: number): number {
    const text = this.#of(line);
    if (text === undefined) return this.text.length;
    let start = 0;
    for (let number = 1; number < line; number += 1) start = this.text.indexOf("\n", start) + 1;
    return start + units(text, col);
  }

  #range({ line, col, end: [endLine, endCol] }: Span): Range | undefined {
    const [first, last] = [this.#of(line), this.#of(endLine)];
    const { lines } = this.#editor;
    const [from, to] = [lines[line], lines[endLine]];
    if (first === undefined || last === undefined || from === undefined || to === undefined) return undefined;
    const range = new Range();
    range.setStart(...place(from, units(first, col)));
    range.setEnd(...place(to, units(last, endCol)));
    return range.collapsed ? undefined : range;
  }

  /** Shows the messages of the line under the pointer. */
  #showTip({ offsetY, offsetX, pointerType, buttons }: PointerEvent): void {
    const { lines, container } = this.#editor;
    const height = lines[1]?.offsetHeight ?? 1;
    const number = Math.floor(offsetY / height) + 1;
    const marks = this.#marks.get(number);
    if (marks === undefined || pointerType !== "mouse" || buttons !== 0) return this.#hideTip();
    if (this.#tip.dataset["line"] === String(number)) return;
    this.#tip.dataset["line"] = String(number);
    this.#tip.replaceChildren(...marks.slice(0, MOST).map(({ message, severity }) => make("li", { class: severity }, message)));
    this.#tip.hidden = false;
    const { style, offsetHeight, offsetWidth } = this.#tip;
    const isAbove = number * height - container.scrollTop > offsetHeight + height;
    style.top = `${isAbove ? (number - 1) * height - offsetHeight : number * height}px`;
    style.left = `${Math.max(0, Math.min(offsetX, container.scrollLeft + container.clientWidth - offsetWidth - 16))}px`;
  }

  #hideTip(): void {
    this.#tip.hidden = true;
    delete this.#tip.dataset["line"];
  }
}
