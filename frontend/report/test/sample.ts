import type { Data } from "../src/data";

/** Two arms, twenty seconds, a fault from second 6 to 12. */
export function sample(): Data {
  const at = Array.from({ length: 20 }, (_, i) => i);
  const during = (value: number, other: number): number[] => at.map((t) => (t >= 6 && t < 12 ? value : other));
  const arm = (name: string, attempts: number): Data["arms"][number] => ({
    name,
    at,
    outcomes: [during(0, 40), during(0, 0), during(name === "fast" ? 40 : 0, 0), during(name === "fast" ? 0 : 40, 0)],
    quantiles_ms: [during(2, 4), during(3, 8), during(4, 20.5), during(1500, 31)],
    links: [[during(40, 40), during(attempts, 40), during(attempts, 0)]],
    bands: [["outage", 6, 12]],
    breakers: name === "fast" ? [{ link: "order-product", repeat: 1, spans: [["open", 6.3, 12.5]] }] : [],
  });
  return {
    from: 0,
    to: 20,
    links: ["order-product"],
    outcomes: ["ok", "degraded", "refused", "failed"],
    quantiles: ["p50", "p95", "p99", "max"],
    arms: [arm("naive", 120), arm("fast", 1)],
  };
}
