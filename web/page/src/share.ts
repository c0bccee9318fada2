/** The state of the page in the fragment of its URL, which browsers send to nobody. */

import type { Config } from "../../npm/index.js";

/** What is shared. */
export type State = { text: string; config: Config };

/** The most characters of what is read from a link: a few kilobytes can unpack to gigabytes. */
const LONGEST = 2 << 20;

const PREFIX = "#v1=";

export async function pack(state: State): Promise<string> {
  const packed = new Blob([JSON.stringify(state)]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(packed).arrayBuffer());
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return PREFIX + btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Returns what a fragment holds; nothing, if it holds something else. Throws where it is broken. */
export async function unpack(fragment: string): Promise<State | undefined> {
  if (!fragment.startsWith(PREFIX)) return undefined;
  const base64 = fragment.slice(PREFIX.length).replaceAll("-", "+").replaceAll("_", "/");
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const text = await read(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw")));
  const state: unknown = JSON.parse(text);
  if (typeof state !== "object" || state === null || !("text" in state) || typeof state.text !== "string") {
    throw new Error("expected a text");
  }
  const config = "config" in state && typeof state.config === "object" && state.config !== null ? state.config : {};
  return { text: state.text, config };
}

async function read(stream: ReadableStream<Uint8Array>): Promise<string> {
  const reader = stream.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text;
    text += value;
    if (text.length > LONGEST) {
      await reader.cancel();
      throw new Error("it holds more than 2 MiB");
    }
  }
}
