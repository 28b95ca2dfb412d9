// Opens reports from the file system in the installed Chromium, without a network, in both
// themes, at desktop and phone width, with scripts and without, and in print. Fails on any
// axe violation, console error, request or sideways scrolling. Takes pictures.
//
//   node test/browser.mjs --out DIR report.html…
//
// CHROMIUM names the browser where it isn't /usr/bin/chromium.
import { mkdirSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { pathToFileURL } from "node:url";
import { AxeBuilder } from "@axe-core/playwright";
import { chromium } from "playwright-core";

const { values, positionals } = parseArgs({
  options: { out: { type: "string", default: "pictures" } },
  allowPositionals: true,
});
if (positionals.length === 0) throw new Error("name at least one report.html");
mkdirSync(values.out, { recursive: true });

const problems = [];
const check = (holds, what) => {
  if (!holds) problems.push(what);
};

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});

const sizes = { desktop: { width: 1280, height: 900 }, phone: { width: 375, height: 812 } };

async function open(file, size, colorScheme, javaScriptEnabled) {
  const context = await browser.newContext({
    viewport: sizes[size], colorScheme, javaScriptEnabled, offline: true, deviceScaleFactor: size === "phone" ? 2 : 1,
    reducedMotion: "reduce",
  });
  const page = await context.newPage();
  const where = `${basename(dirname(resolve(file)))}/${basename(file)} ${size} ${colorScheme}${javaScriptEnabled ? "" : " no-script"}`;
  page.on("console", (m) => check(m.type() !== "error", `${where}: console: ${m.text()}`));
  page.on("pageerror", (e) => check(false, `${where}: ${e.message}`));
  page.on("request", (r) => check(r.url().startsWith("file:") || r.url().startsWith("data:"), `${where}: asked for ${r.url()}`));
  const begun = Date.now();
  await page.goto(pathToFileURL(resolve(file)).href);
  return { context, page, where, took: Date.now() - begun };
}

async function looks(page, where) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check(wide <= 0, `${where}: ${wide} px wider than the screen`);
  const { violations } = await new AxeBuilder({ page }).analyze();
  for (const v of violations) {
    check(false, `${where}: axe ${v.id}: ${v.nodes.slice(0, 3).map((n) => `${n.target} ${n.failureSummary}`).join("; ")}`);
  }
}

/** A path by keyboard alone: cursor, zoom, numbers, theme. */
async function keys(page, where) {
  const slider = page.locator("#tools input");
  await slider.focus();
  const before = await slider.inputValue();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  check(Number(await slider.inputValue()) === Number(before) + 2, `${where}: two arrows move the cursor by two seconds`);
  check(((await slider.getAttribute("aria-valuetext")) ?? "").startsWith("Second"), `${where}: the cursor says where it is`);
  const box = () => page.locator(".arm .zoom").first().getAttribute("viewBox");
  const whole = await box();
  await page.keyboard.press("+");
  check((await box()) !== whole, `${where}: + zooms`);
  await page.keyboard.press("0");
  check((await box()) === whole, `${where}: 0 shows the whole run again`);
  await page.keyboard.press("t");
  check(await page.locator("#data-table table").first().isVisible(), `${where}: T shows the numbers`);
  // Rows of numbers are all alike, and axe takes minutes for those of a long run.
  await page.evaluate(() => document.querySelectorAll("#data-table tbody tr:nth-child(n+6)").forEach((row) => row.remove()));
  await looks(page, `${where} with numbers`);
  await page.keyboard.press("t");
  check(!(await page.locator("#data-table").isVisible()), `${where}: T hides them`);
  await page.locator("#actions button", { hasText: "Theme" }).press("Enter");
  check((await page.locator("html").getAttribute("data-theme")) !== null, `${where}: the theme changes`);
  await looks(page, `${where} other theme`);
}

async function brush(page, where) {
  const plot = page.locator(".arm .plot").first();
  await plot.scrollIntoViewIfNeeded();
  const at = await plot.boundingBox();
  await page.mouse.move(at.x + at.width * 0.2, at.y + 30);
  await page.mouse.down();
  await page.mouse.move(at.x + at.width * 0.7, at.y + 30, { steps: 4 });
  await page.mouse.up();
  const boxes = await page.locator(".arm .zoom").evaluateAll((all) => new Set(all.map((z) => z.getAttribute("viewBox").split(" ")[2])).size);
  check(boxes === 1, `${where}: a brush zooms all pictures alike`);
  check(await page.getByRole("button", { name: "Whole run" }).isVisible(), `${where}: and can be undone`);
}

for (const file of positionals) {
  const name = basename(dirname(resolve(file)));
  for (const size of ["desktop", "phone"]) {
    for (const theme of ["light", "dark"]) {
      for (const scripts of [true, false]) {
        const { context, page, where, took } = await open(file, size, theme, scripts);
        check(took < 5_000, `${where}: took ${took} ms to open`);
        // axe itself is a script.
        if (scripts) await looks(page, where);
        if (scripts || theme === "light") {
          const path = join(values.out, `${name}-${size}-${theme}${scripts ? "" : "-no-script"}.png`);
          await page.screenshot({ path, fullPage: true });
        }
        if (scripts && theme === "light") {
          await keys(page, where);
          if (size === "desktop") await brush(page, where);
        }
        await context.close();
      }
    }
  }
  const { context, page } = await open(file, "desktop", "dark", false);
  await page.emulateMedia({ media: "print" });
  await page.pdf({ path: join(values.out, `${name}.pdf`), printBackground: true, format: "A4" });
  await context.close();
}
await browser.close();

for (const problem of problems) console.error(problem);
console.log(`${positionals.length} opened, ${problems.length} problems`);
process.exit(problems.length === 0 ? 0 : 1);
