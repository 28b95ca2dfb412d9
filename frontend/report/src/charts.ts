import { type Data, faultsAt } from "./data";
import type { View } from "./view";
import { moments } from "./view";
import { readings, spoken } from "./words";

const SVG = "http://www.w3.org/2000/svg";

function svg(name: string, attributes: Record<string, string>): SVGElement {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** Draws the view onto the pictures that the page came with. */
export class Charts {
  readonly plots: SVGSVGElement[];
  readonly #data: Data;
  readonly #view: View;
  readonly #lines: SVGElement[] = [];

  constructor(data: Data, view: View) {
    this.#data = data;
    this.#view = view;
    this.plots = [...document.querySelectorAll<SVGSVGElement>(".arm .plot")];
    for (const plot of this.plots) {
      const line = svg("line", { class: "cursor", y2: "100%" });
      plot.append(line);
      this.#lines.push(line);
    }
  }

  /** Everything that follows from the range. */
  drawRange(): void {
    const view = this.#view;
    for (const zoom of document.querySelectorAll(".arm .zoom")) {
      const height = zoom.getAttribute("height") ?? "0";
      zoom.setAttribute("viewBox", `${view.from} 0 ${view.to - view.from} ${height}`);
    }
    for (const shape of document.querySelectorAll(".arm [data-a]")) this.#place(shape);
    for (const axis of document.querySelectorAll(".arm .moments")) axis.replaceChildren(...this.#ticks());
    this.drawCursor();
  }

  #place(shape: Element): void {
    const a = Number(shape.getAttribute("data-a"));
    const b = shape.getAttribute("data-b");
    const x = this.#view.percent(a);
    shape.setAttribute("x", `${x}%`);
    if (b !== null) shape.setAttribute("width", `${Math.max(0, this.#view.percent(Number(b)) - x)}%`);
    else shape.toggleAttribute("hidden", x < 0 || x > 100);
  }

  #ticks(): SVGElement[] {
    return moments(this.#view.from, this.#view.to).map((t) => {
      const x = `${this.#view.percent(t)}%`;
      const group = svg("g", { class: "moment" });
      const text = svg("text", { x, y: "17", "text-anchor": this.#anchor(t) });
      text.textContent = `${t} s`;
      group.append(svg("line", { class: "tick", x1: x, x2: x, y2: "4" }), text);
      return group;
    });
  }

  /** Names at the ends stay inside the picture. */
  #anchor(t: number): string {
    if (this.#view.percent(t) < 2) return "start";
    return this.#view.percent(t) > 98 ? "end" : "middle";
  }

  /** Everything that follows from the cursor. */
  drawCursor(): void {
    const t = this.#view.cursor;
    const x = `${this.#view.percent(t + 0.5)}%`;
    for (const line of this.#lines) {
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
    }
    for (const arm of this.#data.arms) {
      const card = document.querySelector(`.arm[data-arm="${CSS.escape(arm.name)}"]`);
      const read = readings(this.#data, arm, t);
      for (const place of card?.querySelectorAll<HTMLElement>("[data-read]") ?? []) {
        place.textContent = read[place.dataset["read"] ?? ""] ?? "";
      }
    }
  }

  /** The moment in words. */
  words(): string {
    const shown = this.#data.arms.filter((arm) => !this.card(arm.name)?.hidden);
    return spoken(this.#data, shown, this.#view.cursor);
  }

  label(): string {
    const arm = this.#data.arms[0];
    const faults = arm ? faultsAt(arm, this.#view.cursor) : [];
    return `second ${this.#view.cursor}${faults.length ? ` · ${faults.join(", ")}` : ""}`;
  }

  card(arm: string): HTMLElement | null {
    return document.querySelector(`.arm[data-arm="${CSS.escape(arm)}"]`);
  }

  timeAt(plot: Element, clientX: number): number {
    const box = plot.getBoundingClientRect();
    const share = box.width > 0 ? (clientX - box.left) / box.width : 0;
    return this.#view.from + Math.min(1, Math.max(0, share)) * (this.#view.to - this.#view.from);
  }

  /** Shows the stretch that is being brushed, in every picture. */
  brush(range: [number, number] | null): void {
    for (const old of document.querySelectorAll(".arm .brush")) old.remove();
    if (!range) return;
    const [a, b] = [Math.min(...range), Math.max(...range)];
    for (const plot of this.plots) {
      const x = this.#view.percent(a);
      plot.append(svg("rect", { class: "brush", x: `${x}%`, width: `${this.#view.percent(b) - x}%`, height: "100%" }));
    }
  }
}
