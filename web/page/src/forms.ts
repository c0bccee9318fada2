/** Forms for the settings of policies, made of what `policies()` says about them. */

import type { Policy, Setting } from "../../npm/index.js";
import { make, prose } from "./dom.js";

/** What does not count in a scan: nobody sends a request, and nobody is warned. */
const WITHOUT_EFFECT = ["exempt.users", "exempt.groups", "warn"];

type Settings = Record<string, unknown>;

function get(settings: Settings, path: string): unknown {
  return path.split(".").reduce<unknown>((value, key) => (value as Settings | undefined)?.[key], settings);
}

/** Sets the value at a dotted path, or removes it with what becomes empty. */
function set(settings: Settings, path: string, value: unknown): void {
  const [key = "", ...rest] = path.split(".");
  if (rest.length === 0) {
    if (value === undefined) delete settings[key];
    else settings[key] = value;
    return;
  }
  const inner = (settings[key] ??= {}) as Settings;
  set(inner, rest.join("."), value);
  if (Object.keys(inner).length === 0) delete settings[key];
}

let count = 0;

/** The form of one policy. `settings` is changed in place. */
export function form(policy: Policy, common: Setting[], settings: Settings, changed: () => void): HTMLElement {
  const others = common.filter(({ path }) => !WITHOUT_EFFECT.includes(path));
  const own = fields(policy.settings, settings, changed);
  const shared = make("div", {}, ...fields(others, settings, changed));
  const details = make("details", {}, make("summary", {}, "Exemptions and custom kinds"), shared);
  return make("div", { class: "settings" }, ...own, details);
}

function fields(declared: Setting[], settings: Settings, changed: () => void): HTMLElement[] {
  const shown: [HTMLElement, Setting][] = [];
  const refresh = () => {
    for (const [element, { shownIf }] of shown) {
      if (shownIf === undefined) continue;
      const other = declared.find(({ path }) => path === shownIf.path);
      const value = get(settings, shownIf.path) ?? other?.default;
      element.hidden = !shownIf.values.includes(String(value));
    }
  };
  for (const setting of declared) {
    const update = (value: unknown) => {
      set(settings, setting.path, value);
      refresh();
      changed();
    };
    shown.push([field(setting, get(settings, setting.path), update), setting]);
  }
  refresh();
  return shown.map(([element]) => element);
}

function field(setting: Setting, value: unknown, update: (value: unknown) => void): HTMLElement {
  const id = `setting-${++count}`;
  const docs = make("p", { id: `${id}-docs` }, prose(setting.docs));
  const label = make("label", { for: id }, make("code", {}, setting.path));
  const described = { id, "aria-describedby": `${id}-docs` };
  if (setting.type === "objects") {
    const name = make("div", { class: "label" }, make("code", {}, setting.path));
    return make("div", { class: "setting" }, name, docs, elements(setting, value, update));
  }
  return make("div", { class: "setting" }, label, docs, control(setting, value, update, described));
}

function control(
  { type, options, default: usual }: Setting,
  value: unknown,
  update: (value: unknown) => void,
  described: Record<string, string>,
): HTMLElement {
  const placeholder = usual === undefined ? "" : Array.isArray(usual) ? usual.join("\n") : String(usual);
  if (type === "boolean" || (type === "string" && options !== undefined)) {
    const values = type === "boolean" ? ["true", "false"] : (options ?? []);
    const select = make("select", described);
    select.append(make("option", { value: "" }, usual === undefined ? "not set" : `default: ${String(usual)}`));
    for (const of of values) select.append(make("option", { value: of }, of));
    select.value = value === undefined ? "" : String(value);
    select.addEventListener("change", () => {
      const chosen = type === "boolean" ? select.value === "true" : select.value;
      update(select.value === "" ? undefined : chosen);
    });
    return select;
  }
  if (type === "integer" || type === "string") {
    const input = make("input", { ...described, type: type === "integer" ? "number" : "text", placeholder });
    input.value = value === undefined ? "" : String(value);
    input.addEventListener("input", () => {
      const given = type === "integer" ? Number(input.value) : input.value;
      update(input.value === "" ? undefined : given);
    });
    return input;
  }
  const isList = type === "strings";
  const area = make("textarea", { ...described, placeholder: isList ? placeholder || "one in a line" : "JSON", rows: 3 });
  if (value !== undefined) area.value = isList ? (value as string[]).join("\n") : JSON.stringify(value, null, 1);
  area.addEventListener("input", () => {
    const lines = area.value.split("\n").map((line) => line.trim()).filter((line) => line !== "");
    area.removeAttribute("aria-invalid");
    if (lines.length === 0) return update(undefined);
    if (isList) return update(lines);
    try {
      update(JSON.parse(area.value));
    } catch {
      area.setAttribute("aria-invalid", "true");
    }
  });
  return area;
}

/** A list of objects: a small form for each, and a button for one more. */
function elements({ path, elements: declared = [] }: Setting, value: unknown, update: (value: unknown) => void): HTMLElement {
  const list: Settings[] = Array.isArray(value) ? structuredClone(value) : [];
  const box = make("div");
  const changed = () => update(list.length === 0 ? undefined : structuredClone(list));
  const draw = () => {
    box.replaceChildren(
      ...list.map((element, index) => {
        const remove = () => {
          list.splice(index, 1);
          draw();
          changed();
        };
        const button = make("button", { type: "button", class: "small", click: remove }, "Remove");
        return make("div", { class: "element", role: "group", "aria-label": `${path}[${index}]` }, ...fields(declared, element, changed), button);
      }),
      make("button", { type: "button", class: "small", click: () => (list.push({}), draw()) }, "Add one"),
    );
  };
  draw();
  return box;
}
