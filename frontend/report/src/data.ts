/** The numbers behind the curves, as `chaos/report/src/series.rs` writes them. */
export interface Data {
  from: number;
  to: number;
  links: string[];
  outcomes: string[];
  quantiles: string[];
  arms: Arm[];
}

export interface Arm {
  name: string;
  /** The seconds that are there; a long run keeps those with the extremes. */
  at: number[];
  outcomes: number[][];
  quantiles_ms: (number | null)[][];
  /** By link: calls, attempts, failed attempts. */
  links: number[][][];
  bands: [fault: string, from: number, to: number][];
  breakers: { link: string; repeat: number; spans: [state: string, from: number, to: number][] }[];
}

export function readData(document: Document): Data {
  const text = document.getElementById("data")?.textContent ?? "";
  return JSON.parse(text) as Data;
}

/** The place of the last second that is not after `t`; the first if all are. */
export function placeOf(arm: Arm, t: number): number {
  let low = 0;
  let high = arm.at.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((arm.at[middle] ?? 0) <= t) low = middle;
    else high = middle - 1;
  }
  return low;
}

export function faultsAt(arm: Arm, t: number): string[] {
  return arm.bands.filter(([, from, to]) => t < to && t + 1 > from).map(([fault]) => fault);
}

export function breakersAt(arm: Arm, t: number): string[] {
  const several = arm.breakers.some((b) => b.repeat !== arm.breakers[0]?.repeat);
  const links = new Set(arm.breakers.map((b) => b.link));
  return arm.breakers.map((b) => {
    const span = b.spans.find(([, from, to]) => t < to && t + 1 > from);
    const where = [links.size > 1 ? b.link : "", several ? `r${b.repeat}` : ""].filter(Boolean).join(" ");
    return [where, span?.[0] ?? "closed"].filter(Boolean).join(" ");
  });
}
