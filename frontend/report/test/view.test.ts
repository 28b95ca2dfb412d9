import { describe, expect, it } from "vitest";
import type { Data } from "../src/data";
import { View, moments } from "../src/view";
import { sample } from "./sample";

const data: Data = sample();

describe("the view", () => {
  it("begins whole, its cursor where the fault begins", () => {
    const view = new View(data);
    expect([view.from, view.to, view.cursor, view.zoomed]).toEqual([0, 20, 6, false]);
  });

  it("keeps the cursor inside the run and the range around it", () => {
    const view = new View(data);
    view.move(99);
    expect(view.cursor).toBe(19);
    view.move(-3);
    expect(view.cursor).toBe(0);
    view.range(4, 8);
    view.move(12);
    expect([view.from, view.to]).toEqual([9, 13]);
    view.move(2);
    expect([view.from, view.to]).toEqual([2, 6]);
  });

  it("shows what was brushed, in either direction, and two seconds at least", () => {
    const view = new View(data);
    view.range(15, 10);
    expect([view.from, view.to]).toEqual([10, 15]);
    view.range(19.9, 20);
    expect([view.from, view.to]).toEqual([18, 20]);
    view.range(-50, 500);
    expect(view.zoomed).toBe(false);
  });

  it("zooms around the cursor and back", () => {
    const view = new View(data);
    view.move(10);
    view.zoom(2);
    expect(view.to - view.from).toBe(10);
    expect(view.percent(10.5)).toBeCloseTo(52.5);
    view.zoom(0.5);
    view.zoom(0.5);
    expect(view.zoomed).toBe(false);
  });
});

describe("moments", () => {
  it("are round and inside", () => {
    expect(moments(0, 31)).toEqual([0, 10, 20, 30]);
    expect(moments(3.5, 6)).toEqual([4, 5, 6]);
  });
});
