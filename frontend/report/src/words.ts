import { type Arm, type Data, breakersAt, faultsAt, placeOf } from "./data";

export function plain(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  const digits = Math.abs(value) < 10 && !Number.isInteger(value) ? 1 : 0;
  return value.toFixed(digits);
}

/** Milliseconds, in the unit that reads best. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return "–";
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${ms.toFixed(0)} ms`;
  return `${(ms / 1000).toFixed(2)} s`;
}

/** What each picture of an arm shows at a moment, by the picture's name. */
export function readings(data: Data, arm: Arm, t: number): Record<string, string> {
  const i = placeOf(arm, t);
  const [ok, degraded, refused, failed] = arm.outcomes.map((column) => column[i] ?? 0);
  const [p50, , p99, longest] = arm.quantiles_ms.map((column) => column[i]);
  const parts = [`${plain(ok)} ok`];
  if (degraded) parts.push(`${plain(degraded)} degraded`);
  if (refused) parts.push(`${plain(refused)} refused`);
  parts.push(`${plain(failed)} failed`);
  const all: Record<string, string> = {
    requests: parts.join(" · "),
    latency: `p50 ${duration(p50)} · p99 ${duration(p99)} · max ${duration(longest)}`,
    breaker: breakersAt(arm, t).slice(0, 3).join(", "),
  };
  data.links.forEach((_, l) => {
    const [calls, attempts] = arm.links[l]?.map((column) => column[i] ?? 0) ?? [];
    const times = calls ? ` · ×${((attempts ?? 0) / calls).toFixed(2)}` : "";
    all[`link-${l}`] = `${plain(calls)} calls · ${plain(attempts)} attempts${times}`;
  });
  return all;
}

/** The moment in a sentence, for who can't see it. */
export function spoken(data: Data, arms: Arm[], t: number): string {
  const faults = arms[0] ? faultsAt(arms[0], t) : [];
  const when = `Second ${t}${faults.length ? `, during ${faults.join(" and ")}` : ""}.`;
  return [when, ...arms.map((arm) => {
    const read = readings(data, arm, t);
    return `${arm.name}: ${read["requests"] ?? ""}; ${read["latency"] ?? ""}.`;
  })].join(" ");
}
