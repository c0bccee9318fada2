/** Makes elements. Texts become text nodes, so that no manifest writes HTML. */

type Child = Node | string | undefined | false;
type Properties = Record<string, string | number | boolean | EventListener | undefined>;

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Properties = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child): child is Node | string => child !== undefined && child !== false));
  return element;
}

export function find<T extends HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`there is no element ${id}`);
  return element as T;
}

/** A text with `code` in backquotes. */
export function prose(text: string): DocumentFragment {
  const fragment = document.createDocumentFragment();
  text.split("`").forEach((part, index) => fragment.append(index % 2 === 1 ? make("code", {}, part) : part));
  return fragment;
}

/** A text that may break behind the dots and signs of a path. */
export function breakable(text: string): DocumentFragment {
  const fragment = document.createDocumentFragment();
  text.split(/(?<=[a-z\])][.=])(?=\S)/i).forEach((part, index) => {
    if (index > 0) fragment.append(make("wbr"));
    fragment.append(part);
  });
  return fragment;
}

/** Says something for a moment. */
export function toast(text: string): void {
  document.querySelector(".toast")?.remove();
  const element = make("div", { class: "toast", role: "alert" }, text);
  document.body.append(element);
  setTimeout(() => element.remove(), 4_000);
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}
