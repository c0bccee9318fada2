/** What both entries share: objects in and out, around the texts of the module. */

import { __wbg_reset_state, policies as listed, scan as scanned } from "podfence-bindings";
import type { Config, Options, Policies, Report } from "./index.js";

export { findings } from "./findings.js";

export class ConfigError extends Error {
  override name = "ConfigError";
}

/** Calls the module. Whatever it throws is a panic, after which only a new instance can be called. */
function call(run: () => string): unknown {
  let reply: string;
  try {
    reply = run();
  } catch (panic) {
    __wbg_reset_state();
    throw new Error(`podfence could not finish: ${panic instanceof Error ? panic.message : String(panic)}`);
  }
  return JSON.parse(reply);
}

export function scan(text: string, config: Config = {}, options: Options = {}): Report {
  const { file = "<stdin>", untrusted = false, now = new Date() } = options;
  const seconds = Math.floor(now.getTime() / 1000);
  const reply = call(() => scanned(text, JSON.stringify(config), file, untrusted, seconds)) as Report | { error: string };
  if ("error" in reply) throw new ConfigError(reply.error);
  return reply;
}

export function policies(): Policies {
  return call(() => listed()) as Policies;
}
