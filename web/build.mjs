// Builds the page or the npm package from the bindings: `node build.mjs page|npm BINDINGS OUT`.

import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { build } from "esbuild";

/** The most bytes of the page over the wire, with gzip. */
const LARGEST = 400_000;

const here = import.meta.dirname;
const [what, bindings, out] = process.argv.slice(2).map((argument, index) => (index === 0 ? argument : resolve(argument)));
const glue = join(bindings, "podfence.js");
const wasm = readFileSync(join(bindings, "podfence_bg.wasm"));

const usual = {
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "linked",
  logLevel: "warning",
  alias: { "podfence-bindings": glue },
  loader: { ".yaml": "text" },
};

/** The name with a part of the hash of the content, so that no cache mixes two versions. */
function hashed(name, content) {
  const hash = createHash("sha256").update(content).digest("hex").slice(0, 8);
  return name.replace(/(\.\w+)$/, `-${hash}$1`);
}

/** The npm packages that are in a script. */
const bundled = new Set();

async function script(entry, define = {}) {
  const options = { entryPoints: [join(here, entry)], define, write: false, outdir: out, legalComments: "none", metafile: true };
  const { metafile, outputFiles } = await build({ ...usual, ...options });
  for (const input of Object.keys(metafile.inputs)) {
    const name = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1];
    if (name !== undefined) bundled.add(name);
  }
  return Buffer.from(outputFiles[0].contents);
}

/** What the licences of those packages want to be with them. */
function licences() {
  const of = (name) => `${name}\n\n${readFileSync(join(here, "node_modules", name, "LICENSE"), "utf8").trim()}\n`;
  return [...bundled].sort().map(of).join(`\n${"-".repeat(80)}\n\n`);
}

async function page() {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const files = [];
  const write = (name, content) => {
    writeFileSync(join(out, name), content);
    files.push(name);
    return name;
  };
  const quoted = (name) => JSON.stringify(`./${name}`);
  const module = write(hashed("podfence.wasm", wasm), wasm);
  const source = await script("page/src/worker.ts", { WASM: quoted(module) });
  const worker = write(hashed("worker.js", source), source);
  const main = await script("page/src/main.ts", { WORKER: quoted(worker) });
  const style = await script("page/style.css");
  const names = { SCRIPT: write(hashed("main.js", main), main), STYLE: write(hashed("style.css", style), style) };
  const icon = readFileSync(join(here, "page/icon.svg"));
  write("icon.svg", icon);
  const html = readFileSync(join(here, "page/index.html"), "utf8");
  const document = Buffer.from(html.replace(/SCRIPT|STYLE/g, (name) => names[name]));
  write("index.html", document);
  const cached = ["./", ...files.filter((name) => name !== "index.html").map((name) => `./${name}`)];
  const cache = hashed("podfence-.x", Buffer.concat([document, icon])).slice(0, -2);
  writeFileSync(join(out, "offline.js"), await script("page/src/offline.ts", { FILES: JSON.stringify(cached), CACHE: JSON.stringify(cache) }));
  report([...files, "offline.js"]);
  writeFileSync(join(out, "licences.txt"), licences());
}

/** Prints what the page weighs, and fails if it is too much. */
function report(files) {
  let [raw, gzip, brotli] = [0, 0, 0];
  for (const name of files) {
    const content = readFileSync(join(out, name));
    const sizes = [content.length, gzipSync(content, { level: 9 }).length, brotliCompressSync(content).length];
    [raw, gzip, brotli] = [raw + sizes[0], gzip + sizes[1], brotli + sizes[2]];
    console.log(`${name.padEnd(24)} ${sizes.map((size) => String(size).padStart(8)).join("")}`);
  }
  console.log(`${"bytes, gzip, brotli".padEnd(24)} ${[raw, gzip, brotli].map((size) => String(size).padStart(8)).join("")}`);
  if (gzip > LARGEST) throw new Error(`the page has ${gzip} bytes with gzip, at most ${LARGEST} are allowed`);
}

async function npm() {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const manifest = JSON.parse(readFileSync(join(here, "npm/package.json"), "utf8"));
  const cargo = readFileSync(join(here, "../Cargo.toml"), "utf8");
  const workspace = cargo.slice(cargo.indexOf("[workspace.package]"));
  const of = (key) => new RegExp(`^${key} = "(.*)"$`, "m").exec(workspace)[1];
  const filled = { name: manifest.name, version: of("version"), ...manifest, repository: `${of("repository")}.git` };
  writeFileSync(join(out, "package.json"), `${JSON.stringify(filled, null, 2)}\n`);
  writeFileSync(join(out, "podfence.wasm"), wasm);
  for (const name of ["index.d.ts", "README.md"]) cpSync(join(here, "npm", name), join(out, name));
  cpSync(join(here, "../LICENSE"), join(out, "LICENSE"));
  const entries = [
    ["node", { platform: "node", target: "node20" }],
    ["web", { platform: "browser", target: "es2022" }],
  ];
  for (const [entry, options] of entries) {
    await build({ ...usual, ...options, minify: false, entryPoints: [join(here, `npm/${entry}.ts`)], outfile: join(out, `${entry}.js`) });
  }
  const size = readdirSync(out).reduce((sum, name) => sum + statSync(join(out, name)).size, 0);
  console.log(`${relative(process.cwd(), out)}: ${size} bytes`);
}

await { page, npm }[what]();
