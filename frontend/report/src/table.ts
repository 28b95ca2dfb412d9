import { type Arm, type Data, breakersAt, faultsAt } from "./data";
import { duration, plain } from "./words";

type Row = string[];

/** The numbers of an arm as rows, a second each, with their head. */
export function rows(data: Data, arm: Arm): { head: Row; body: Row[] } {
  const links = data.links.flatMap((link) => [`calls ${link}`, `attempts ${link}`, `failed ${link}`]);
  const head = ["second", "fault", ...data.outcomes, ...data.quantiles, ...links, "breaker"];
  const body = arm.at.map((t, i) => [
    String(t),
    faultsAt(arm, t).join(", "),
    ...arm.outcomes.map((column) => plain(column[i])),
    ...arm.quantiles_ms.map((column) => duration(column[i])),
    ...arm.links.flatMap((link) => link.map((column) => plain(column[i]))),
    breakersAt(arm, t).join(", "),
  ]);
  return { head, body };
}

function cell(name: "td" | "th", text: string, scope?: string): HTMLElement {
  const made = document.createElement(name);
  made.textContent = text;
  if (scope) made.setAttribute("scope", scope);
  if (name === "td") made.className = "num";
  return made;
}

/** An arm's numbers as a table that scrolls by itself. */
export function table(data: Data, arm: Arm): HTMLElement {
  const { head, body } = rows(data, arm);
  const made = document.createElement("table");
  const top = made.createTHead().insertRow();
  top.append(...head.map((text) => cell("th", text, "col")));
  const rest = made.createTBody();
  for (const row of body) {
    const line = rest.insertRow();
    line.dataset["second"] = row[0] ?? "";
    line.append(...row.map((text, i) => (i === 0 ? cell("th", text, "row") : cell("td", text))));
  }
  const title = document.createElement("h3");
  title.textContent = `Numbers of ${arm.name}`;
  const box = document.createElement("div");
  box.className = "scrolls";
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", title.textContent);
  box.append(made);
  const group = document.createElement("div");
  group.dataset["numbers"] = arm.name;
  group.append(title, box);
  return group;
}
