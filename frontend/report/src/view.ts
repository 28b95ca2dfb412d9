import type { Data } from "./data";

/** What of the time axis is seen, and where the cursor is. Pure: it draws nothing. */
export class View {
  from: number;
  to: number;
  cursor: number;
  readonly #data: Data;

  constructor(data: Data) {
    this.#data = data;
    this.from = data.from;
    this.to = data.to;
    this.cursor = data.arms[0]?.bands[0]?.[1] ?? data.from;
    this.move(this.cursor);
  }

  get zoomed(): boolean {
    return this.from > this.#data.from || this.to < this.#data.to;
  }

  /** Sets the cursor to a whole second inside the run, and the range around it. */
  move(t: number): void {
    const last = Math.max(this.#data.from, Math.ceil(this.#data.to) - 1);
    this.cursor = Math.min(last, Math.max(this.#data.from, Math.floor(t)));
    const span = this.to - this.from;
    if (this.cursor < this.from) this.range(this.cursor, this.cursor + span);
    else if (this.cursor + 1 > this.to) this.range(this.cursor + 1 - span, this.cursor + 1);
  }

  /** Shows a stretch of time, at least two seconds of it. */
  range(a: number, b: number): void {
    const { from, to } = this.#data;
    const span = Math.min(to - from, Math.max(2, Math.abs(b - a)));
    const start = Math.min(Math.max(from, Math.min(a, b)), to - span);
    this.from = start;
    this.to = start + span;
  }

  /** Zooms by a factor, the cursor staying where it is. */
  zoom(factor: number): void {
    const middle = this.cursor + 0.5;
    this.range(middle - (middle - this.from) / factor, middle + (this.to - middle) / factor);
  }

  reset(): void {
    this.range(this.#data.from, this.#data.to);
  }

  percent(t: number): number {
    return ((t - this.from) / (this.to - this.from)) * 100;
  }
}

/** Round moments to name on an axis with room for about so many. */
export function moments(from: number, to: number, room = 5): number[] {
  const raw = (to - from) / room;
  const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800].find((s) => s >= raw) ?? 3600;
  const all: number[] = [];
  for (let t = Math.ceil(from / step) * step; t <= to; t += step) all.push(t);
  return all;
}
