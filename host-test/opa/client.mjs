// Evaluates inputs with npm's client: a JSON object in each line of standard input, the results in each of standard
// output. The argument is the directory of the modules.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const { loadPolicy } = createRequire(import.meta.url)("@open-policy-agent/opa-wasm");

const policies = new Map();

async function policy(name) {
  if (!policies.has(name)) {
    policies.set(name, await loadPolicy(readFileSync(`${process.argv[2]}/${name}.wasm`)));
  }
  return policies.get(name);
}

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const { policy: name, input, raw } = JSON.parse(line);
  let reply;
  try {
    // The client takes an ArrayBuffer for JSON that is written already.
    const bytes = new TextEncoder().encode(input);
    const given = raw ? bytes.buffer.slice(0, bytes.byteLength) : JSON.parse(input);
    reply = (await policy(name)).evaluate(given, `podfence/${name}/violation`);
  } catch (error) {
    reply = { error: String(error) };
  }
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}
