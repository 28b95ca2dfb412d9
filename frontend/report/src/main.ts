import "./style.css";
import { Charts } from "./charts";
import { type Data, readData } from "./data";
import { table } from "./table";
import { button, copy, otherTheme, toggles, tools } from "./tools";
import { View } from "./view";

/** Adds to a page that is complete without it. */
export function start(): void {
  actions();
  const place = document.getElementById("tools");
  const data = readData(document);
  if (!place || data.arms.length === 0) return;
  new Page(data, place).begin();
  traces();
}

class Page {
  readonly #data: Data;
  readonly #view: View;
  readonly #charts: Charts;
  readonly #tools: ReturnType<typeof tools>;
  readonly #numbers = document.getElementById("data-table");

  constructor(data: Data, place: HTMLElement) {
    this.#data = data;
    this.#view = new View(data);
    this.#charts = new Charts(data, this.#view);
    this.#tools = tools(place, data.from, data.to);
    if (data.arms.length > 1) {
      toggles(place, data.arms.map((arm) => arm.name), (arm, shown) => {
        const card = this.#charts.card(arm);
        if (card) card.hidden = !shown;
        for (const numbers of document.querySelectorAll<HTMLElement>(`[data-numbers="${CSS.escape(arm)}"]`)) {
          numbers.hidden = !shown;
        }
      });
    }
  }

  begin(): void {
    const { slider, reset, table: numbers } = this.#tools;
    slider.addEventListener("input", () => { this.#move(Number(slider.value)); });
    reset.addEventListener("click", () => { this.#zoom(() => { this.#view.reset(); }); });
    numbers.addEventListener("click", () => { this.#toggleNumbers(); });
    document.getElementById("curves")?.addEventListener("keydown", (event) => { this.#key(event); });
    for (const plot of this.#charts.plots) this.#pointer(plot);
    for (const link of document.querySelectorAll<HTMLElement>("[data-go]")) {
      link.addEventListener("click", () => { this.#move(Number(link.dataset["go"]), true); });
    }
    this.#zoom(() => undefined);
  }

  /** `speak`: the cursor went somewhere by a key or a link. */
  #move(t: number, speak = false): void {
    const before = this.#view.from;
    this.#view.move(t);
    if (this.#view.from === before) this.#charts.drawCursor();
    else this.#charts.drawRange();
    this.#tell(speak);
  }

  #zoom(change: () => void): void {
    change();
    this.#tools.reset.hidden = !this.#view.zoomed;
    this.#charts.drawRange();
    this.#tell(false);
  }

  #tell(speak: boolean): void {
    const { slider, label } = this.#tools;
    slider.value = String(this.#view.cursor);
    slider.setAttribute("aria-valuetext", this.#charts.words());
    label.textContent = this.#charts.label();
    const live = document.getElementById("live");
    if (speak && live) live.textContent = this.#charts.words();
    for (const row of document.querySelectorAll<HTMLElement>("#data-table tr[data-second]")) {
      if (row.dataset["second"] === String(this.#view.cursor)) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    // The slider moves by itself and says so; its value is the cursor.
    const slides = event.target === this.#tools.slider;
    const step = event.shiftKey ? 5 : 1;
    const moves: Record<string, number> = {
      ArrowLeft: this.#view.cursor - step,
      ArrowRight: this.#view.cursor + step,
      Home: this.#data.from,
      End: this.#data.to,
    };
    const to = moves[event.key];
    const scrolls = event.target instanceof Element && event.target.closest(".scrolls");
    if (to !== undefined && !scrolls) this.#move(to, !slides);
    else if (event.key === "+" || event.key === "=") this.#zoom(() => { this.#view.zoom(2); });
    else if (event.key === "-") this.#zoom(() => { this.#view.zoom(0.5); });
    else if (event.key === "0" || event.key === "Escape") this.#zoom(() => { this.#view.reset(); });
    else if (event.key === "t" || event.key === "T") this.#toggleNumbers();
    else return;
    event.preventDefault();
  }

  #pointer(plot: SVGSVGElement): void {
    let begun: number | null = null;
    const at = (event: PointerEvent): number => this.#charts.timeAt(plot, event.clientX);
    plot.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      begun = at(event);
      if (event.pointerType === "mouse") plot.setPointerCapture(event.pointerId);
      this.#move(begun);
    });
    plot.addEventListener("pointermove", (event) => {
      this.#move(at(event));
      if (begun !== null && event.pointerType === "mouse") this.#charts.brush([begun, at(event)]);
    });
    const end = (event: PointerEvent): void => {
      const [a, b] = [begun, at(event)];
      begun = null;
      this.#charts.brush(null);
      if (a !== null && event.type === "pointerup" && event.pointerType === "mouse" && Math.abs(b - a) >= 1) {
        this.#zoom(() => { this.#view.range(a, b); });
      }
    };
    plot.addEventListener("pointerup", end);
    plot.addEventListener("pointercancel", end);
    plot.addEventListener("dblclick", () => { this.#zoom(() => { this.#view.reset(); }); });
  }

  #toggleNumbers(): void {
    const place = this.#numbers;
    if (!place) return;
    if (place.childElementCount === 0) {
      place.append(...this.#data.arms.map((arm) => table(this.#data, arm)));
    }
    place.hidden = !place.hidden;
    this.#tools.table.setAttribute("aria-expanded", String(!place.hidden));
    this.#tell(false);
    if (!place.hidden) {
      place.scrollIntoView({ block: "start" });
      place.querySelector<HTMLElement>(".scrolls")?.focus({ preventScroll: true });
    }
  }
}

/** Theme and Markdown. */
function actions(): void {
  const place = document.getElementById("actions");
  const text = document.getElementById("markdown");
  if (!place || !text) return;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const theme = button("Theme", () => { root.dataset["theme"] = otherTheme(root, dark.matches); });
  theme.setAttribute("aria-label", "Change between light and dark");
  const markdown = button("Copy as Markdown", (self) => {
    void copy(text.textContent, text).then((done) => {
      self.textContent = done ? "Copied" : "Select and copy below";
      setTimeout(() => { self.textContent = "Copy as Markdown"; }, 2500);
    });
  });
  markdown.setAttribute("aria-live", "polite");
  place.append(markdown, theme);
  place.hidden = false;
}

/** `e` goes to the next error of the traces. */
function traces(): void {
  const bad = [...document.querySelectorAll<HTMLElement>("#traces .wf.bad")];
  for (const row of bad) row.tabIndex = -1;
  let at = -1;
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLInputElement && event.target.type !== "range";
    if (event.key !== "e" || event.ctrlKey || event.metaKey || event.altKey || typing || bad.length === 0) return;
    at = (at + 1) % bad.length;
    bad[at]?.focus();
  });
}

start();
