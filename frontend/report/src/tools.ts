export interface Controls {
  slider: HTMLInputElement;
  label: HTMLOutputElement;
  reset: HTMLButtonElement;
  table: HTMLButtonElement;
}

export function button(text: string, act: (button: HTMLButtonElement) => void): HTMLButtonElement {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.addEventListener("click", () => { act(made); });
  return made;
}

/** The row of controls above the curves, empty in the page as it came. */
export function tools(place: HTMLElement, from: number, to: number): Controls {
  const slider = document.createElement("input");
  slider.type = "range";
  slider.min = String(from);
  slider.max = String(Math.max(from, Math.ceil(to) - 1));
  slider.step = "1";
  const label = document.createElement("output");
  const named = document.createElement("label");
  const name = document.createElement("span");
  name.textContent = "Time";
  named.append(name, slider);
  const noop = (): void => undefined;
  const reset = button("Whole run", noop);
  const table = button("Numbers (T)", noop);
  table.setAttribute("aria-expanded", "false");
  place.append(named, label, reset, table);
  place.hidden = false;
  return { slider, label, reset, table };
}

/** A button for each arm that shows or hides it. */
export function toggles(place: HTMLElement, arms: string[], set: (arm: string, shown: boolean) => void): void {
  const group = document.createElement("div");
  group.className = "toggles";
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", "Arms shown");
  for (const arm of arms) {
    const made = button(arm, (self) => {
      const shown = self.getAttribute("aria-pressed") !== "true";
      self.setAttribute("aria-pressed", String(shown));
      set(arm, shown);
    });
    made.setAttribute("aria-pressed", "true");
    group.append(made);
  }
  place.append(group);
}

/** The theme that is not on: what the button changes to. */
export function otherTheme(root: HTMLElement, dark: boolean): "light" | "dark" {
  const now = root.dataset["theme"] ?? (dark ? "dark" : "light");
  return now === "dark" ? "light" : "dark";
}

/** Copies by the clipboard's API, or from a selection where a file may not use it. */
export async function copy(text: string, fallback: HTMLElement): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    fallback.closest("details")?.setAttribute("open", "");
    getSelection()?.selectAllChildren(fallback);
    // Deprecated, and the only way for a page that was opened from a file.
    // eslint-disable-next-line @typescript-eslint/no-deprecated
    return document.execCommand("copy");
  }
}
