import { readFileSync } from "node:fs";
import { initSync } from "podfence-bindings";

initSync({ module: readFileSync(new URL("./podfence.wasm", import.meta.url)) });

export { ConfigError, findings, fix, policies, scan } from "./core.js";
