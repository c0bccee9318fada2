/** The text, with the lines and the places of findings marked in it. */

import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { HighlightStyle, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState, RangeSet, StateEffect, StateField, type Text } from "@codemirror/state";
import {
  Decoration,
  type DecorationSet,
  EditorView,
  GutterMarker,
  drawSelection,
  gutter,
  highlightActiveLine,
  highlightSpecialChars,
  hoverTooltip,
  keymap,
  lineNumbers,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";

import type { Severity } from "../../npm/index.js";
import { make } from "./dom.js";

/** Where a part of the text starts, and line and column behind its last character. */
export type Span = { line: number; col: number; end: [line: number, col: number] };

/** A place in the text, and what is said about it. */
export type Mark = Span & { severity: Severity; message: string };

const setMarks = StateEffect.define<Mark[]>();

/** The offset of a position. Columns are code points, offsets are UTF-16 units. */
function offset(doc: Text, line: number, col: number): number {
  if (line > doc.lines) return doc.length;
  const { from, text } = doc.line(line);
  let units = 0;
  let column = 1;
  for (const character of text) {
    if (column >= col) break;
    units += character.length;
    column += 1;
  }
  return from + units;
}

function ends(doc: Text, { line, col, end }: Span): [from: number, to: number] {
  const from = offset(doc, line, col);
  return [from, Math.max(from, offset(doc, ...end))];
}

class Dot extends GutterMarker {
  constructor(readonly severity: Severity) {
    super();
  }

  override eq(other: Dot): boolean {
    return other.severity === this.severity;
  }

  override toDOM(): Node {
    return make("span", { class: `dot ${this.severity}`, title: this.severity }, "●");
  }
}

type Marked = { marks: Mark[]; ranges: DecorationSet; dots: RangeSet<GutterMarker> };

function marked(doc: Text, marks: Mark[]): Marked {
  // An error hides a warning at the same place.
  const worst = new Map<number, Severity>();
  const ranges = [];
  for (const mark of marks) {
    const { severity } = mark;
    const [from, to] = ends(doc, mark);
    const line = doc.lineAt(from).from;
    if (worst.get(line) !== "error") worst.set(line, severity);
    if (to > from) ranges.push(Decoration.mark({ class: `found ${severity}` }).range(from, to));
  }
  const dots = [];
  for (const [line, severity] of worst) {
    ranges.push(Decoration.line({ class: `found-line ${severity}` }).range(line));
    dots.push(new Dot(severity).range(line));
  }
  return { marks, ranges: Decoration.set(ranges, true), dots: RangeSet.of(dots, true) };
}

const field = StateField.define<Marked>({
  create: () => ({ marks: [], ranges: Decoration.none, dots: RangeSet.empty }),
  update(value, transaction) {
    for (const effect of transaction.effects) {
      if (effect.is(setMarks)) return marked(transaction.newDoc, effect.value);
    }
    if (!transaction.docChanged) return value;
    const { changes } = transaction;
    return { ...value, ranges: value.ranges.map(changes), dots: value.dots.map(changes) };
  },
  provide: (of) => EditorView.decorations.from(of, ({ ranges }) => ranges),
});

/** The messages at a place, next to the pointer. */
const tooltip = hoverTooltip((view, position) => {
  const { marks } = view.state.field(field);
  const here = marks.filter((mark) => {
    const [from, to] = ends(view.state.doc, mark);
    return from <= position && position <= to;
  });
  if (here.length === 0) return null;
  const lines = here.slice(0, 8).map(({ message, severity }) => make("li", { class: severity }, message));
  return { pos: position, above: true, create: () => ({ dom: make("ul", { class: "tip" }, ...lines) }) };
});

const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--key)" },
  { tag: [tags.string, tags.content, tags.special(tags.string)], color: "var(--ink)" },
  { tag: [tags.number, tags.bool, tags.null, tags.atom], color: "var(--number)" },
  { tag: [tags.comment, tags.lineComment], color: "var(--quiet)", fontStyle: "italic" },
  { tag: [tags.labelName, tags.typeName, tags.keyword], color: "var(--text)" },
  { tag: [tags.punctuation, tags.separator, tags.brace, tags.squareBracket, tags.meta], color: "var(--quiet)" },
]);

const theme = EditorView.theme({
  "&": { height: "100%", fontSize: "13.5px", color: "var(--ink)", backgroundColor: "transparent" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.6" },
  ".cm-content": { padding: "10px 0", caretColor: "var(--accent)" },
  ".cm-line": { padding: "0 12px 0 6px" },
  ".cm-cursor": { borderLeftColor: "var(--accent)", borderLeftWidth: "2px" },
  ".cm-gutters": { backgroundColor: "transparent", color: "var(--quiet)", border: "0" },
  ".cm-lineNumbers .cm-gutterElement": { padding: "0 4px 0 10px", minWidth: "34px" },
  ".cm-activeLine": { backgroundColor: "var(--line)" },
  ".cm-activeLineGutter": { backgroundColor: "transparent", color: "var(--ink)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "var(--selected)",
  },
  ".cm-selectionMatch": { backgroundColor: "var(--accent-soft)" },
  ".cm-dots": { width: "16px" },
  ".dot": { fontSize: "10px", lineHeight: "2.1", paddingLeft: "4px" },
  ".dot.error": { color: "var(--error)" },
  ".dot.warning": { color: "var(--warning)" },
  ".found-line.error": { backgroundColor: "var(--error-soft)" },
  ".found-line.warning": { backgroundColor: "var(--warning-soft)" },
  ".found": { textDecoration: "underline", textDecorationThickness: "2px", textUnderlineOffset: "4px" },
  ".found.warning": { textDecorationColor: "var(--warning)" },
  ".found.error": { textDecorationColor: "var(--error)" },
  ".cm-tooltip": { backgroundColor: "var(--card)", border: "1px solid var(--rule)", borderRadius: "8px" },
  ".tip": { margin: "0", padding: "8px 12px 8px 26px", maxWidth: "440px", fontFamily: "var(--sans)", fontSize: "13.5px" },
  ".tip .error::marker": { color: "var(--error)" },
  ".tip .warning::marker": { color: "var(--warning)" },
  ".cm-panels": { backgroundColor: "var(--card)", color: "var(--ink)", borderColor: "var(--rule)" },
  ".cm-textfield, .cm-button": {
    backgroundColor: "var(--paper)",
    backgroundImage: "none",
    color: "var(--ink)",
    border: "1px solid var(--rule)",
    borderRadius: "6px",
  },
});

export class Editor {
  readonly view: EditorView;

  constructor(host: HTMLElement, changed: () => void, moved: (line: number) => void, next: (step: 1 | -1) => boolean) {
    // A shadow root takes style sheets that a document refuses by its content security policy.
    const root = host.attachShadow({ mode: "open" });
    const listen = EditorView.updateListener.of((update) => {
      if (update.docChanged) changed();
      if (update.selectionSet || update.docChanged) moved(this.line());
    });
    const attributes = { "aria-label": "Manifests, YAML or JSON; Escape and Tab leave the text", spellcheck: "false", autocapitalize: "off", tabindex: "0" };
    const state = EditorState.create({
      extensions: [
        // Any other line end is a character of its line, as it is to the reader of manifests.
        EditorState.lineSeparator.of("\n"),
        lineNumbers(),
        gutter({ class: "cm-dots", markers: (view) => view.state.field(field).dots }),
        field,
        tooltip,
        history(),
        drawSelection(),
        highlightActiveLine(),
        highlightSpecialChars(),
        highlightSelectionMatches(),
        search({ top: true }),
        yaml(),
        indentUnit.of("  "),
        EditorState.tabSize.of(2),
        syntaxHighlighting(colours),
        theme,
        EditorView.contentAttributes.of(attributes),
        EditorView.clipboardInputFilter.of((text) => text.replaceAll("\r\n", "\n")),
        keymap.of([
          { key: "F8", run: () => next(1), shift: () => next(-1) },
          { key: "Escape", run: (view) => (view.contentDOM.blur(), true) },
          ...defaultKeymap,
          ...historyKeymap,
          ...searchKeymap,
          indentWithTab,
        ]),
        listen,
      ],
    });
    this.view = new EditorView({ state, root, parent: root as unknown as HTMLElement });
  }

  get text(): string {
    return this.view.state.sliceDoc();
  }

  set text(text: string) {
    const insert = text.replaceAll("\r\n", "\n");
    this.view.dispatch({ changes: { from: 0, to: this.view.state.doc.length, insert }, selection: { anchor: 0 }, scrollIntoView: true });
  }

  /** Replaces the part in which a text differs, so that the cursor stays and the change can be undone. */
  change(text: string): void {
    const old = this.text;
    const least = Math.min(old.length, text.length);
    let [start, end] = [0, 0];
    while (start < least && old[start] === text[start]) start += 1;
    while (end < least - start && old[old.length - 1 - end] === text[text.length - 1 - end]) end += 1;
    const insert = text.slice(start, text.length - end);
    this.view.dispatch({ changes: { from: start, to: old.length - end, insert }, userEvent: "input.fix" });
  }

  set marks(marks: Mark[]) {
    this.view.dispatch({ effects: setMarks.of(marks) });
  }

  line(): number {
    return this.view.state.doc.lineAt(this.view.state.selection.main.head).number;
  }

  /** Selects a span and scrolls to it. */
  show(span: Span): void {
    const [from, to] = ends(this.view.state.doc, span);
    this.view.dispatch({
      selection: { anchor: to, head: from },
      effects: EditorView.scrollIntoView(from, { y: "center" }),
    });
    this.view.focus();
  }
}
