// What a person chose for this browser: language, theme, zone, and how lists look. Kept in localStorage where allowed.
import { reactive, watch } from "vue";

export type Language = "zh" | "en";
export type Theme = "auto" | "light" | "dark";

/** A list as somebody likes to look at it, under a name. */
export interface SavedView {
  name: string;
  query: Record<string, string>;
  hidden: string[];
}

interface Prefs {
  language: Language;
  theme: Theme;
  /** Empty: the browser's own. */
  zone: string;
  machinesAs: "cards" | "table";
  timelineAs: "gantt" | "heat";
  timelineBy: "status" | "job_type";
  logWrap: boolean;
  hidden: string[];
  window: number;
  views: SavedView[];
}

const KEY = "mj.prefs";

function browserLanguage(): Language {
  const tags = navigator.languages.length ? navigator.languages : [navigator.language || "en"];
  return tags.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag): tag is Language => tag === "zh" || tag === "en") ?? "en";
}

function stored(): Partial<Prefs> {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Prefs>;
  } catch {
    return {};
  }
}

const DEFAULTS: Prefs = {
  language: browserLanguage(), theme: "auto", zone: "", machinesAs: "cards", timelineAs: "gantt", timelineBy: "status", logWrap: true, hidden: [], window: 86_400, views: [],
};

export const prefs = reactive<Prefs>({ ...DEFAULTS, ...stored() });

watch(prefs, () => {
  try {
    localStorage.setItem(KEY, JSON.stringify(prefs));
  } catch {
    // Without storage the choice lasts as long as the page.
  }
});

const dark = matchMedia("(prefers-color-scheme: dark)");
/** What is drawn on a canvas follows this; everything else follows the class on <html>. */
export const theme = reactive({ dark: false });

function applyTheme(): void {
  theme.dark = prefs.theme === "dark" || (prefs.theme === "auto" && dark.matches);
  document.documentElement.classList.toggle("dark", theme.dark);
}

export function startTheme(): void {
  applyTheme();
  watch(() => prefs.theme, applyTheme);
  dark.addEventListener("change", applyTheme);
}
