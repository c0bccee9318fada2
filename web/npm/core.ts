/** What both entries share: objects in and out, around the texts of the module. */

import { __wbg_reset_state, fix as fixed, policies as listed, scan as scanned } from "podfence-bindings";
import type { Config, Fixed, Fixes, Options, Policies, Report } from "./index.js";

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

type Arguments = [text: string, config: string, file: string, untrusted: boolean, now: number];

function asked(text: string, config: Config, { file = "<stdin>", untrusted = false, now = new Date() }: Options): Arguments {
  return [text, JSON.stringify(config), file, untrusted, Math.floor(now.getTime() / 1000)];
}

function checked<T extends object>(reply: T | { error: string }): T {
  if ("error" in reply) throw new ConfigError(reply.error);
  return reply;
}

export function scan(text: string, config: Config = {}, options: Options = {}): Report {
  return checked(call(() => scanned(...asked(text, config, options))) as Report | { error: string });
}

export function fix(text: string, fixes: Fixes = "usual", config: Config = {}, options: Options = {}): Fixed {
  return checked(call(() => fixed(...asked(text, config, options), JSON.stringify(fixes))) as Fixed | { error: string });
}

export function policies(): Policies {
  return call(() => listed()) as Policies;
}
