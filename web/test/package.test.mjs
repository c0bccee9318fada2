// The npm package: packed, installed in an empty directory, and used from there.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, it } from "node:test";
import { pathToFileURL } from "node:url";

const root = resolve(import.meta.dirname, "../..");
const target = join(root, "target/web");
const tsc = join(root, "web/node_modules/.bin/tsc");
const command = join(root, "target/release/podfence");
const fixtures = join(target, "fixtures.jsonl");

const POD = `apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  hostPID: true  # podfence: ignore[hostNamespaces] a reason
  containers:
  - {name: a, image: a, securityContext: {privileged: true}}
`;

describe("the npm package", () => {
  const directory = mkdtempSync(join(tmpdir(), "podfence-npm-"));
  let podfence;

  before(async () => {
    const [tarball] = readdirSync(target).filter((name) => name.endsWith(".tgz"));
    writeFileSync(join(directory, "package.json"), '{"private": true, "type": "module"}');
    execFileSync("npm", ["install", "--offline", "--silent", "--no-audit", "--no-fund", join(target, tarball)], { cwd: directory });
    writeFileSync(join(directory, "use.js"), 'export * from "podfence";\n');
    podfence = await import(pathToFileURL(join(directory, "use.js")).href);
  });

  after(() => rmSync(directory, { recursive: true, force: true }));

  it("scans", () => {
    const report = podfence.scan(POD, {}, { file: "pod.yaml" });
    const { problems, summary } = report;
    const findings = podfence.findings(report);
    assert.deepEqual(problems, []);
    assert.equal(summary.judged, 1);
    const [first] = findings.filter(({ severity, suppressed }) => severity === "error" && suppressed === undefined);
    assert.equal(first.message, 'container "a" must not set securityContext.privileged=true');
    const from = POD.indexOf("true}}");
    assert.deepEqual([first.line, first.col, first.bytes], [7, POD.split("\n")[6].indexOf("true}}") + 1, [from, from + 4]]);
    assert.match(first.fix, /^set securityContext.privileged to false/);
    assert.equal(findings.find(({ suppressed }) => suppressed)?.suppressed.reason, "a reason");
    const untrusted = podfence.scan(POD, {}, { untrusted: true });
    assert.ok(podfence.findings(untrusted).every(({ suppressed }) => suppressed === undefined));
  });

  it("says what is wrong with a configuration", () => {
    const wrong = [
      [{ enforce: "strict" }, /^enforce: no level "strict": expected privileged, baseline or restricted/],
      [{ colour: 1 }, /^unknown field `colour`, expected one of `enforce`/],
      [{ policy: { nothing: {} } }, /^unknown policy "nothing"; expected one of: allow-privilege-escalation, /],
      [{ policy: { privileged: { settings: { a: 1 } } } }, /^policy privileged: settings: /],
      [{ enforce: "privileged" }, /^nothing would be judged/],
      [{ policies: ["a.yaml"] }, /^policies: there are no other files here/],
    ];
    for (const [config, message] of wrong) {
      assert.throws(() => podfence.scan(POD, config), (error) => error instanceof podfence.ConfigError && message.test(error.message), JSON.stringify(config));
    }
    assert.equal(podfence.scan(POD).summary.judged, 1);
  });

  it("ends an exception on its day", () => {
    const ignore = [{ control: "privileged", reason: "a reason", until: "2026-01-31" }];
    const errors = (day) => podfence.scan(POD, { ignore }, { now: new Date(day) }).summary.errors;
    assert.deepEqual([errors("2026-01-31"), errors("2026-02-01")], [0, 1]);
  });

  it("fixes what is usual, all, or what is named", () => {
    const plain = POD.replace("hostPID: true  # podfence: ignore[hostNamespaces] a reason", "hostPID: true  # kept");
    const restricted = { enforce: "restricted" };
    const errors = (text) => podfence.scan(text, restricted).summary.errors;
    const all = podfence.fix(plain, "all", restricted);
    assert.deepEqual([errors(all.text), all.refused], [0, []]);
    const usual = podfence.fix(plain, "usual", restricted);
    assert.ok(usual.count > 0 && usual.count < all.count);
    const [first] = podfence.findings(podfence.scan(plain, restricted)).filter(({ control }) => control === "privileged");
    for (const fixes of [["privileged"], [first.fingerprint]]) {
      const { text, count } = podfence.fix(plain, fixes, restricted);
      assert.equal(count, 1);
      assert.ok(!text.includes("privileged: true") && text.includes("# kept"), text);
    }
    assert.deepEqual(podfence.fix(all.text, "all", restricted), { text: all.text, count: 0, refused: [] });
    assert.throws(() => podfence.fix(plain, "some"), /^ConfigError: fixes: expected usual, all or a list of controls/);
  });

  it("answers whatever it is given", () => {
    const nested = `${"[".repeat(200_000)}`;
    const bomb = `a: &a [1,1,1,1,1,1,1,1,1]\n${[..."bcdefgh"].map((name, index) => `${name}: &${name} [${"*" + "abcdefg"[index]}${`,*${"abcdefg"[index]}`.repeat(8)}]\n`).join("")}`;
    for (const text of [nested, bomb, "\0", "\ud800", "{{ x }}", "", "a: \u2028b", "a".repeat(3 << 20), POD.repeat(50)]) {
      const { summary, problems } = podfence.scan(text);
      assert.ok(summary.documents + problems.length > 0);
    }
    assert.equal(podfence.scan(POD).summary.errors, 1);
  });

  it("lists the policies with their settings", () => {
    const { levels, policies, settings } = podfence.policies();
    assert.deepEqual(levels, ["privileged", "baseline", "restricted"]);
    const directories = readdirSync(join(root, "policies")).filter((name) => existsSync(join(root, "policies", name, "fixtures.yaml")));
    assert.deepEqual(policies.map(({ name }) => name), directories.sort());
    assert.ok(settings.some(({ path }) => path === "exempt.images"));
    for (const { name, example, settings } of policies) {
      const config = name === "pod-security-standards" ? { enforce: "restricted" } : { policy: { [name]: {} } };
      assert.ok(podfence.scan(example, config).summary.errors > 0, `${name} rejects its example`);
      for (const { path, docs } of settings) assert.ok(docs.length > 10, `${name}: ${path} is documented`);
    }
  });

  it("has types that say what it returns", () => {
    mkdirSync(join(directory, "types"));
    const config = { enforce: "restricted:v1.36", policy: { "host-path": { severity: "warning" } }, strict: true };
    const report = podfence.scan(`${POD}---\nkind: [`, config);
    const all = podfence.policies();
    // Of a literal, the compiler refuses members that the type lacks.
    const text = `import { ConfigError, findings, fix, policies, scan, type Policies, type Report } from "podfence";
export const report: Report = ${JSON.stringify(report)};
export const all: Policies = ${JSON.stringify(all)};
export const errors: number = scan("", ${JSON.stringify(config)}, { file: "a", now: new Date() }).summary.errors;
export const names: string[] = policies().policies.map(({ name }) => name);
export const fixed: string = fix("", ["privileged"], {}).text;
export const fixes: string[] = findings(report).map(({ fix }) => fix);
export const isOne = (error: unknown): boolean => error instanceof ConfigError;
`;
    writeFileSync(join(directory, "types/use.ts"), text);
    for (const [module, resolution] of [["nodenext", "nodenext"], ["esnext", "bundler"]]) {
      execFileSync(tsc, ["--noEmit", "--strict", "--target", "es2022", "--module", module, "--moduleResolution", resolution, "types/use.ts"], { cwd: directory, stdio: "pipe" });
    }
  });

  it("finds in every fixture what the policies find natively", () => {
    let count = 0;
    for (const line of readFileSync(fixtures, "utf8").trimEnd().split("\n")) {
      const { name, text, config, rejects, report } = JSON.parse(line);
      // JavaScript has no such integers.
      if (/\d{16}/.test(JSON.stringify(config))) continue;
      let found;
      try {
        found = podfence.scan(text, config, { file: "fixture", now: new Date(0) });
      } catch (error) {
        assert.ok(error instanceof podfence.ConfigError, `${name}: ${error}`);
        found = { error: error.message };
      }
      assert.deepEqual(found, report, name);
      if (rejects) assert.ok(found.error ?? found.summary.errors > 0, name);
      count += 1;
    }
    assert.ok(count > 500, `${count} fixtures`);
  });

  it("prints what the command prints", () => {
    const shop = join(root, "host-test/podfence/tests/scan/shop");
    const texts = readdirSync(shop).map((name) => readFileSync(join(shop, name), "utf8"));
    texts.push(...podfence.policies().policies.map(({ example }) => example), POD, "kind: [", "a: 1\na: 2\n");
    for (const config of [{}, { enforce: "restricted" }, { policy: { "host-path": {}, users: { settings: {} } } }]) {
      writeFileSync(join(directory, "podfence.yaml"), JSON.stringify(config));
      for (const text of texts) {
        const options = ["scan", "--format", "json", "--allow-empty", "--config", "podfence.yaml", "--fail-on", "never", "-"];
        const printed = run(options, text);
        const expected = JSON.parse(printed);
        for (const policy of expected.policies) policy.digest = "";
        // They name options of the command.
        expected.summary.hints = [];
        assert.deepEqual(podfence.scan(text, config), expected, text);
      }
    }
  });

  function run(options, input) {
    try {
      return execFileSync(command, options, { cwd: directory, input, encoding: "utf8", stdio: ["pipe", "pipe", "pipe"] });
    } catch (error) {
      // Something could not be read, which the report says.
      if (error.status === 2 && error.stdout) return error.stdout;
      throw error;
    }
  }
});
