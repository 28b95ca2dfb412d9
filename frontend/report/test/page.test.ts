import { beforeEach, describe, expect, it, vi } from "vitest";
import { sample } from "./sample";

function page(): string {
  const plot = `<svg class="plot" height="100"><rect class="band" data-a="6" data-b="12" x="30%" width="30%"></rect>
    <svg class="zoom" height="100" viewBox="0 0 20 100"></svg></svg><span class="read" data-read="requests"></span>
    <svg><g class="moments"></g></svg>`;
  const arm = (name: string): string => `<article class="arm" data-arm="${name}">${plot}</article>`;
  return `<div id="actions" hidden></div><a data-go="12.4" href="#x">look</a>
    <section id="curves"><div id="tools" hidden></div><p id="live"></p>${arm("naive")}${arm("fast")}
    <div id="data-table" hidden></div></section><details><pre id="markdown">## text</pre></details>
    <section id="traces"><div class="wf"></div><div class="wf bad"></div><div class="wf bad"></div></section>
    <script type="application/json" id="data">${JSON.stringify(sample())}</script>`;
}

const one = (selector: string): HTMLElement => {
  const found = document.querySelector<HTMLElement>(selector);
  if (!found) throw new Error(`no ${selector}`);
  return found;
};

const press = (key: string, more: KeyboardEventInit = {}): void => {
  one("#curves").dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
};

describe("the page", () => {
  beforeEach(async () => {
    document.body.innerHTML = page();
    window.matchMedia = vi.fn().mockReturnValue({ matches: false });
    Element.prototype.scrollIntoView = vi.fn();
    vi.stubGlobal("CSS", { escape: (text: string) => text });
    vi.resetModules();
    await import("../src/main");
  });

  it("shows its controls", () => {
    expect(one("#tools").hidden).toBe(false);
    expect(document.querySelectorAll(".toggles button")).toHaveLength(2);
  });

  it("moves the cursor by arrow, in every arm and in words", () => {
    press("ArrowRight");
    expect(one("#tools input").getAttribute("aria-valuetext")).toContain("Second 7");
    expect(one("[data-arm=fast] .read").textContent).toBe("0 ok · 40 refused · 0 failed");
    expect(one("#live").textContent).toContain("Second 7, during outage.");
    press("End");
    expect(one("#tools output").textContent).toBe("second 19");
  });

  it("zooms all pictures at once and back", () => {
    press("+");
    const boxes = [...document.querySelectorAll(".zoom")].map((z) => z.getAttribute("viewBox"));
    expect(new Set(boxes).size).toBe(1);
    expect(boxes[0]).not.toBe("0 0 20 100");
    expect(one(".band").getAttribute("x")).not.toBe("30%");
    press("0");
    expect(one(".zoom").getAttribute("viewBox")).toBe("0 0 20 100");
    expect(parseFloat(one(".band").getAttribute("x") ?? "")).toBeCloseTo(30);
  });

  it("shows the numbers with T and follows the cursor in them", () => {
    press("T");
    expect(one("#data-table").hidden).toBe(false);
    expect(document.querySelectorAll("#data-table tr[data-second]")).toHaveLength(40);
    expect(one("#data-table tr[aria-current]").dataset["second"]).toBe("6");
    press("t");
    expect(one("#data-table").hidden).toBe(true);
  });

  it("leaves the browser's own keys alone", () => {
    press("t", { ctrlKey: true });
    expect(one("#data-table").hidden).toBe(true);
  });

  it("goes to the moment of a check", () => {
    one("[data-go]").click();
    expect(one("#tools output").textContent).toBe("second 12");
  });

  it("hides an arm", () => {
    const button = one(".toggles button");
    button.click();
    expect(button.getAttribute("aria-pressed")).toBe("false");
    expect(one("[data-arm=naive]").hidden).toBe(true);
  });

  it("goes from error to error with e", () => {
    document.dispatchEvent(new KeyboardEvent("keydown", { key: "e" }));
    expect(document.activeElement).toBe(document.querySelectorAll(".wf.bad")[0]);
    document.dispatchEvent(new KeyboardEvent("keydown", { key: "e" }));
    expect(document.activeElement).toBe(document.querySelectorAll(".wf.bad")[1]);
  });

  it("copies the Markdown", async () => {
    const write = vi.fn().mockResolvedValue(undefined);
    vi.stubGlobal("navigator", { clipboard: { writeText: write } });
    one("#actions button").click();
    await vi.waitFor(() => { expect(one("#actions button").textContent).toBe("Copied"); });
    expect(write).toHaveBeenCalledWith("## text");
  });
});
