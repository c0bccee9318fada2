/** Runs the checks beside the page, so that neither a large text nor a hang stops it. */

import init from "podfence-bindings";

import { fix, policies, scan } from "../../npm/core.js";
import type { Config, Fixes } from "../../npm/index.js";

declare const WASM: string;

/** What the page asks for. */
export type Call =
  | { id: number; call: "policies" }
  | { id: number; call: "scan"; text: string; config: Config }
  | { id: number; call: "fix"; text: string; fixes: Fixes; config: Config };

/** The answer to the call of the same number. */
export type Answer = { id: number; value: unknown } | { id: number; error: string };

const ready = init({ module_or_path: WASM });

async function answer(call: Call): Promise<Answer> {
  const { id } = call;
  try {
    await ready;
    switch (call.call) {
      case "policies":
        return { id, value: policies() };
      case "scan":
        return { id, value: scan(call.text, call.config, { file: "manifest" }) };
      case "fix":
        return { id, value: fix(call.text, call.fixes, call.config, { file: "manifest" }) };
    }
  } catch (error) {
    return { id, error: error instanceof Error ? error.message : String(error) };
  }
}

addEventListener("message", async ({ data }: MessageEvent<Call>) => postMessage(await answer(data)));
