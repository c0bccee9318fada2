// The page in a real browser.

import assert from "node:assert/strict";
import { accessSync, constants, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { chromium } from "playwright-core";

import { serve } from "./serve.mjs";

const page = join(import.meta.dirname, "../../target/web/page");
const axe = readFileSync(join(import.meta.dirname, "../node_modules/axe-core/axe.min.js"), "utf8");

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const POD = `apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: 🦊
    image: nginx
    securityContext:
      privileged: true
`;

function found(names) {
  const directories = (process.env.PATH ?? "").split(delimiter);
  const paths = names.flatMap((name) => directories.map((directory) => join(directory, name)));
  return paths.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

const browserPath = process.env.CHROMIUM ?? found(["chromium", "chromium-browser", "google-chrome"]);
const skip = browserPath === undefined && "there is no chromium on the PATH, and CHROMIUM names none";
if (skip) console.error(`skipped: ${skip}`);

describe("the page", { skip }, () => {
  let browser, context, server, address, tab;
  const directory = mkdtempSync(join(tmpdir(), "podfence-page-"));
  const violations = [];
  const requests = [];

  before(async () => {
    ({ server, address } = await serve(page));
    context = await chromium.launchPersistentContext(directory, {
      executablePath: browserPath,
      headless: true,
      args: FLAGS,
      viewport: { width: 1280, height: 800 },
      permissions: ["clipboard-read", "clipboard-write"],
    });
    browser = context;
    context.on("request", (request) => requests.push(request.url()));
    tab = await context.newPage();
    tab.setDefaultTimeout(8_000);
    tab.on("console", (message) => {
      if (message.type() === "error") violations.push(message.text());
    });
    tab.on("pageerror", (error) => violations.push(String(error)));
    await tab.addInitScript(() => addEventListener("securitypolicyviolation", (event) => console.error(`violated: ${event.violatedDirective} ${event.blockedURI}`)));
    await open("");
  });

  after(async () => {
    await browser?.close();
    server?.close();
    rmSync(directory, { recursive: true, force: true });
  });

  const open = async (fragment) => {
    await tab.goto("about:blank");
    await tab.goto(address + fragment);
    await tab.waitForSelector("body[data-ready]");
  };
  const content = () => tab.locator("#editor textarea");
  const marked = (severity) => tab.evaluate((of) => [...CSS.highlights.get(of)].map(String), severity);
  const replace = async (text) => {
    await content().click();
    await tab.keyboard.press("ControlOrMeta+a");
    await tab.evaluate((text) => navigator.clipboard.writeText(text), text);
    await tab.keyboard.press("ControlOrMeta+v");
  };
  const summary = (text) => tab.locator("#summary", { hasText: text }).waitFor();
  const messages = () => tab.locator(".finding .message").allTextContents();

  it("loads with an example and what is wrong with it", async () => {
    await summary("error");
    assert.match((await messages()).join("\n"), /uses hostPort 8080/);
  });

  it("scans what is pasted, and marks the line and the place", async () => {
    await replace(POD);
    await summary("1 object checked");
    await tab.locator(".finding .message", { hasText: 'container "🦊" must not set securityContext.privileged=true' }).waitFor();
    assert.deepEqual(await marked("error"), ["true"]);
    assert.equal((await marked("warning"))[0], "🦊");
    assert.deepEqual(await tab.locator("#editor .found").allTextContents(), ["  - name: 🦊\n", "      privileged: true\n"]);
    await tab.locator(".finding", { hasText: "privileged=true" }).first().locator("button").first().click();
    assert.match(await tab.locator(".finding.current").first().textContent(), /line 9/);
  });

  it("goes to the next finding with F8", async () => {
    await content().click();
    await tab.keyboard.press("ControlOrMeta+Home");
    await tab.keyboard.press("F8");
    assert.match(await tab.locator(".finding.current").first().textContent(), /line 6/);
    await tab.keyboard.press("F8");
    assert.match(await tab.locator(".finding.current").first().textContent(), /line 9/);
  });

  it("says what cannot be read, with its line", async () => {
    await replace("apiVersion: v1\nkind: [\n");
    await summary("1 problem");
    assert.match(await tab.locator(".finding.error .of").first().textContent(), /^line \d+, column \d+$/);
  });

  it("judges by the level that is selected", async () => {
    await replace(POD);
    await tab.locator("#enforce").selectOption("restricted");
    await summary("5 errors");
    await tab.locator("#enforce").selectOption("privileged");
    await tab.locator("#warn").selectOption("privileged");
    await summary("nothing would be judged");
    await tab.locator("#warn").selectOption("restricted");
    await tab.locator("#enforce").selectOption("baseline");
    await summary("1 error");
  });

  it("judges by a policy with settings from its form", async () => {
    await open("");
    await replace(POD);
    await tab.locator("#choose").click();
    await tab.getByRole("checkbox", { name: "Host ports" }).check();
    await tab.getByRole("checkbox", { name: "Read-only root filesystem" }).check();
    await tab.locator(".finding .of", { hasText: "readOnlyRootFilesystem" }).waitFor();
    const images = tab.locator(".policy", { hasText: "Read-only root filesystem" });
    await images.locator("summary").click();
    await images.getByLabel("exempt.images").fill("nginx");
    await tab.locator(".finding .of", { hasText: "readOnlyRootFilesystem" }).waitFor({ state: "detached" });
    await tab.getByRole("checkbox", { name: "Host ports" }).uncheck();
    await tab.locator("#choose").click();
  });

  it("shares the text and what is selected by the fragment", async () => {
    await tab.locator("#warn").selectOption("baseline");
    await summary("1 error");
    await tab.locator("#share").click();
    await tab.locator(".toast", { hasText: "link is copied" }).waitFor();
    const { hash } = new URL(tab.url());
    assert.match(hash, /^#v1=[\w-]+$/);
    assert.equal(await tab.evaluate(() => navigator.clipboard.readText()), tab.url());
    await open(hash);
    await tab.locator(".finding .message", { hasText: "🦊" }).first().waitFor();
    assert.equal(await tab.locator("#warn").inputValue(), "baseline");
    assert.equal(await tab.locator("#choose").textContent(), "Policies (1)");
  });

  it("says that a broken link is broken", async () => {
    await open("#v1=AAAA");
    await tab.locator(".toast", { hasText: "cannot be read" }).waitFor();
    await summary("error");
  });

  it("fixes one finding, and then all that are usual, and undoes it", async () => {
    await open("");
    await replace(POD);
    const privileged = tab.locator(".finding", { hasText: "privileged=true" });
    await privileged.getByRole("button", { name: "Fix" }).click();
    await tab.locator(".toast", { hasText: "1 finding fixed" }).waitFor();
    await privileged.waitFor({ state: "detached" });
    await tab.locator("#summary button", { hasText: "Fix" }).click();
    await tab.locator("#summary button", { hasText: "Fix" }).waitFor({ state: "detached" });
    assert.match(await content().inputValue(), /allowPrivilegeEscalation: false/);
    await content().click();
    await tab.keyboard.press("ControlOrMeta+z");
    await tab.keyboard.press("ControlOrMeta+z");
    await privileged.waitFor();
    assert.equal(await content().inputValue(), POD);
    await tab.keyboard.press("ControlOrMeta+Shift+z");
    await privileged.waitFor({ state: "detached" });
  });

  it("undoes the choice of an example", async () => {
    await open("");
    await replace(POD);
    await tab.locator("#examples").selectOption("sysctls");
    await tab.locator(".finding .of", { hasText: "sysctls" }).first().waitFor();
    await content().click();
    await tab.keyboard.press("ControlOrMeta+z");
    assert.equal(await content().inputValue(), POD);
  });

  it("shows the messages of a line under the pointer", async () => {
    await open("");
    await replace(POD);
    await tab.locator(".pce-line.found.error").waitFor();
    const line = await tab.locator(".pce-line.found.error").boundingBox();
    await tab.mouse.move(line.x + 200, line.y + line.height / 2);
    const messages = await tab.locator(".tip li").allTextContents();
    assert.match(messages.join("\n"), /privileged=true/);
    await tab.mouse.move(line.x + 200, line.y - 3 * line.height);
    await tab.locator(".tip").waitFor({ state: "hidden" });
  });

  it("indents, and leaves the text by Escape and Tab", async () => {
    await open("");
    await replace("spec:");
    await tab.keyboard.press("Enter");
    await tab.keyboard.type("a: 1");
    await tab.keyboard.press("Tab");
    assert.equal(await content().inputValue(), "spec:\n  a: 1  ");
    await tab.keyboard.press("Escape");
    await tab.keyboard.press("Tab");
    assert.notEqual(await tab.evaluate(() => document.activeElement?.tagName), "TEXTAREA");
  });

  it("colours keys, numbers and comments, and nothing in a block of text", async () => {
    const text = '# c\na: 1 # d\n"b" : true\nc: |\n  x: 1\n\n  # e\nd: &f http://g:1#h\n- e: \'#\'\n  f: null,';
    await replace(text);
    const tokens = await tab.locator(".pce-line .token").evaluateAll((all) => all.map((of) => `${of.classList[1]} ${of.textContent}`));
    const coloured = tokens.filter((of) => !of.startsWith("punctuation"));
    assert.deepEqual(coloured, [
      "comment # c", "key a", "number 1", "comment  # d", 'key "b"', "number true", "key c", "key d", "tag &f", "key e", "key f", "number null",
    ]);
  });

  it("takes long texts and lines, and refuses the longest", async () => {
    await open("");
    const manifests = `${POD}---\n`.repeat(Math.floor(128_000 / (POD.length + 4)));
    for (const text of [manifests, `a: ${"a-".repeat(64_000)}`]) {
      const started = performance.now();
      await replace(text);
      await tab.waitForFunction((text) => document.querySelector("textarea").value === text, text);
      const taken = performance.now() - started;
      assert.ok(taken < 8_000, `${taken} ms`);
    }
    await replace(" ".repeat((1 << 20) + 1));
    await tab.locator(".toast", { hasText: "more than 1 MiB" }).waitFor();
  });

  it("works without a network after the first load", async () => {
    await open("");
    await tab.evaluate(() => navigator.serviceWorker.ready);
    await tab.waitForFunction(() => navigator.serviceWorker.controller !== null);
    const { port } = server.address();
    await new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    });
    await open("");
    await replace(POD);
    await summary("1 object checked");
    ({ server } = await serve(page, port));
  });

  for (const theme of ["light", "dark"]) {
    for (const [name, width, height] of [["a screen", 1280, 800], ["a phone", 390, 844]]) {
      it(`is accessible on ${name} in the theme ${theme}`, async () => {
        await tab.emulateMedia({ colorScheme: theme });
        await tab.setViewportSize({ width, height });
        await open("");
        await tab.locator("#choose").click();
        await tab.getByRole("checkbox", { name: "Host paths" }).check();
        await summary("error");
        // As a devtool does: the content security policy is for the page.
        await tab.evaluate(axe);
        const { violations } = await tab.evaluate(() => globalThis.axe.run());
        assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map(({ html, failureSummary }) => [html, failureSummary])]), []);
        const overflow = await tab.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(overflow <= 0, `${overflow} pixels too wide`);
        if (process.env.SCREENSHOTS) {
          await tab.screenshot({ path: join(process.env.SCREENSHOTS, `${theme}-${width}-policies.png`) });
          await tab.getByRole("checkbox", { name: "Host paths" }).uncheck();
          await tab.locator("#choose").click();
          await tab.waitForTimeout(400);
          await tab.screenshot({ path: join(process.env.SCREENSHOTS, `${theme}-${width}.png`), fullPage: true });
        }
      });
    }
  }

  it("violates no content security policy, logs no error, and asks nobody else", () => {
    assert.deepEqual(violations, []);
    const others = requests.filter((url) => !url.startsWith(address) && !url.startsWith("about:"));
    assert.deepEqual(others, []);
  });
});
