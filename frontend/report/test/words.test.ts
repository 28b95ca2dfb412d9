import { describe, expect, it } from "vitest";
import { breakersAt, faultsAt, placeOf } from "../src/data";
import { rows } from "../src/table";
import { otherTheme } from "../src/tools";
import { duration, plain, readings, spoken } from "../src/words";
import { sample } from "./sample";

const data = sample();
const [naive, fast] = data.arms as [(typeof data.arms)[0], (typeof data.arms)[0]];

describe("a moment", () => {
  it("is found in seconds of which some are left out", () => {
    const sparse = { ...naive, at: [0, 5, 9, 30] };
    expect([-1, 0, 4, 5, 29, 99].map((t) => placeOf(sparse, t))).toEqual([0, 0, 0, 1, 2, 3]);
  });

  it("knows its faults and breakers", () => {
    expect(faultsAt(naive, 11)).toEqual(["outage"]);
    expect(faultsAt(naive, 12)).toEqual([]);
    expect(breakersAt(fast, 8)).toEqual(["open"]);
    expect(breakersAt(fast, 15)).toEqual(["closed"]);
  });

  it("reads as figures and as a sentence", () => {
    expect(readings(data, naive, 7)).toEqual({
      requests: "0 ok · 40 failed",
      latency: "p50 2.0 ms · p99 4.0 ms · max 1.50 s",
      breaker: "",
      "link-0": "40 calls · 120 attempts · ×3.00",
    });
    const said = spoken(data, data.arms, 7);
    expect(said).toContain("Second 7, during outage.");
    expect(said).toContain("fast: 0 ok · 40 refused · 0 failed");
  });
});

describe("figures", () => {
  it("have the digits that count", () => {
    expect([plain(3), plain(0.25), plain(12.6), plain(null)]).toEqual(["3", "0.3", "13", "–"]);
    expect([duration(3.21), duration(250), duration(1500), duration(undefined)]).toEqual(["3.2 ms", "250 ms", "1.50 s", "–"]);
  });

  it("are all in the table", () => {
    const { head, body } = rows(data, fast);
    expect(head).toHaveLength(2 + 4 + 4 + 3 + 1);
    expect(body).toHaveLength(20);
    expect(body.every((row) => row.length === head.length)).toBe(true);
    expect(body[7]?.at(-1)).toBe("open");
  });
});

describe("the theme", () => {
  it("changes to the other, whatever is on", () => {
    const root = document.createElement("html");
    expect(otherTheme(root, true)).toBe("light");
    root.dataset["theme"] = "light";
    expect(otherTheme(root, true)).toBe("dark");
  });
});
