import { chromium } from "playwright-core";
const [file, out, w, theme, ...clips] = process.argv.slice(2);
const b = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--headless","--no-sandbox","--disable-gpu","--disable-background-networking"] });
const p = await (await b.newContext({ viewport: { width: +w, height: 900 }, colorScheme: theme, reducedMotion: "reduce", deviceScaleFactor: +w < 500 ? 2 : 1 })).newPage();
await p.goto("file://" + file);
for (const c of clips) { const [y, h] = c.split("+").map(Number); await p.screenshot({ path: `${out}-${y}.png`, fullPage: true, clip: { x: 0, y, width: +w, height: h } }); }
await b.close();
