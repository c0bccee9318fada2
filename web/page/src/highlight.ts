/**
 * Colours YAML and JSON, line by line and in linear time. Prism's own grammar of YAML is quadratic in the length of a line:
 * one of 100 kB, which a link can hold, stops a tab for a minute.
 */

import { Token, languages, tokenize } from "prism-code-editor/prism";

export const LANGUAGE = "yaml";

/** Longer texts and longer lines stay as they are. */
const LARGEST = 1 << 18;
const LONGEST = 1_000;

/** Spaces, and the dashes of lists. */
const INDENT = /^ *(?:- +)*/;
const KEY = /^(?:(?:"(?:[^"\\]|\\.)*"|'[^']*')(?= *:)|[^\s"'#&*!|>%@`{}[\],:][^:#"'{}[\],]*(?=:(?:\s|$)))/;
const COMMENT = /(?:^|\s)#.*$/;
const NUMBER = /^(?:true|false|null|~|[-+]?(?:0[xo])?[\d.]+(?:e[-+]?\d+)?)(?=,?$)/i;
const TAG = /^[&*!][^\s,]*/;
const BLOCK = /^[|>][-+\d]*$/;

type Part = string | Token;

function token(type: string, text: string): Part {
  return text === "" ? "" : new Token(type, text, text);
}

/** The parts of a line, and whether lines of text follow that are indented by more than a number. */
function parts(line: string): [parts: Part[], block: number | undefined] {
  const indent = INDENT.exec(line)?.[0] ?? "";
  const key = KEY.exec(line.slice(indent.length))?.[0] ?? "";
  const rest = line.slice(indent.length + key.length);
  const at = key.length === 0 ? 0 : rest.indexOf(":") + 1;
  // A sign of a comment within quotes is none.
  const comment = /["']/.test(rest) ? "" : (COMMENT.exec(rest)?.[0] ?? "");
  const value = rest.slice(at, rest.length - comment.length);
  const start = value.length - value.trimStart().length;
  const trimmed = value.trim();
  const special = NUMBER.exec(trimmed)?.[0];
  const tag = TAG.exec(trimmed)?.[0];
  const split = start + (special ?? tag ?? "").length;
  const type = special === undefined ? "tag" : "number";
  const content = [value.slice(0, start), token(type, value.slice(start, split)), value.slice(split)];
  const block = key === "" ? Math.max(0, indent.length - 2) : indent.length;
  return [
    [token("punctuation", indent), token("key", key), token("punctuation", rest.slice(0, at)), ...content, token("comment", comment)],
    BLOCK.test(trimmed) ? block : undefined,
  ];
}

function all(text: string): Part[] {
  if (text.length > LARGEST) return [text];
  const found: Part[] = [];
  let block: number | undefined;
  for (const line of text.split("\n")) {
    if (found.length > 0) found.push("\n");
    const isBlank = line.trim() === "";
    if (block !== undefined && !isBlank && line.search(/\S/) <= block) block = undefined;
    if (block !== undefined || isBlank || line.length > LONGEST) {
      found.push(line);
      continue;
    }
    const [of, opened] = parts(line);
    block = opened;
    found.push(...of);
  }
  return found.filter((part) => part !== "");
}

languages[LANGUAGE] = { [tokenize]: all };
