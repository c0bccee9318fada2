import init from "podfence-bindings";

await init({ module_or_path: new URL("./podfence.wasm", import.meta.url) });

export { ConfigError, findings, fix, policies, scan } from "./core.js";
