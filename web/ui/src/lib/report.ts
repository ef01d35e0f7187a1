// A batch as one HTML file that needs nothing else: no script, no picture from anywhere. Pure; every text is escaped.
import type { Row } from "./exporting";
import { headline } from "./traceback";

export interface ReportFacts {
  name: string;
  made: string;
  jobs: Record<string, number>;
  facts: [string, string][];
  machines: { machine: string; jobs: number; mean: string; share: number }[];
  rows: Row[];
  /** Of all jobs; ``rows`` may be the newest of them only. */
  total: number;
}

type Say = (key: string, values?: Record<string, unknown>) => string;

const COLOURS: Record<string, string> = { done: "#19be6b", running: "#2db7f5", returning: "#2db7f5", waiting: "#ff9900", failed: "#ed4014", return_failed: "#ed4014" };
const EXCERPT = 240;
const GROUPS = 50;
const EXAMPLES = 5;
const ESCAPES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

const text = (value: unknown): string => String(value ?? "").replace(/[&<>"']/g, (char) => ESCAPES[char] ?? char);
const row = (tag: string, cells: string[]): string => `<tr>${cells.map((cell) => `<${tag}>${cell}</${tag}>`).join("")}</tr>`;
const table = (head: string[], rows: string[][]): string => `<table><thead>${row("th", head.map(text))}</thead><tbody>${rows.map((cells) => row("td", cells)).join("")}</tbody></table>`;

function outcome(one: Row): string {
  const said = typeof one.error === "string" && one.error ? headline(one.error) : JSON.stringify(one.result ?? null);
  return said.length > EXCERPT ? `${said.slice(0, EXCERPT)}…` : said;
}

/** Failed jobs by the line that says most, the most frequent first. */
export function failuresOf(rows: readonly Row[]): { what: string; ids: number[] }[] {
  const groups = new Map<string, number[]>();
  for (const one of rows) {
    if (one.status !== "failed" && one.status !== "return_failed") continue;
    const what = typeof one.error === "string" && one.error ? headline(one.error) : String(one.reason ?? "");
    groups.set(what, [...(groups.get(what) ?? []), one.id]);
  }
  return [...groups].map(([what, ids]) => ({ what, ids })).sort((a, b) => b.ids.length - a.ids.length);
}

function bar(jobs: Record<string, number>, total: number): string {
  let x = 0;
  const parts = Object.entries(COLOURS).map(([word, colour]) => {
    const width = ((jobs[word] ?? 0) / Math.max(1, total)) * 1000;
    x += width;
    return `<rect x="${x - width}" width="${width}" height="14" fill="${colour}"/>`;
  });
  return `<svg viewBox="0 0 1000 14" preserveAspectRatio="none" role="img">${parts.join("")}</svg>`;
}

const STYLE = `:root{color-scheme:light dark}body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}
svg{width:100%;height:14px;border-radius:7px}table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #8884;vertical-align:top;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dd{margin:0}.soft{opacity:.75}`;

/** The whole file. */
export function reportOf(report: ReportFacts, say: Say): string {
  const failures = failuresOf(report.rows);
  const shown = report.rows.length;
  const title = say("report.title", { name: report.name });
  return `<!doctype html>
<html><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width"><title>${text(title)}</title><style>${STYLE}</style></head><body>
<h1>${text(title)}</h1><p class="soft">${text(report.made)}</p>
${bar(report.jobs, report.total)}
${table([say("report.status"), say("report.jobs")], Object.entries(report.jobs).filter(([, count]) => count > 0).map(([word, count]) => [text(say(`status.${word}`)), text(count)]))}
<dl>${report.facts.map(([name, value]) => `<dt class="soft">${text(name)}</dt><dd>${text(value)}</dd>`).join("")}</dl>
<h2>${text(say("report.machines"))}</h2>
${table([say("report.machine"), say("report.jobs"), say("report.share"), say("report.mean")], report.machines.map((one) => [text(one.machine), text(one.jobs), text(`${Math.round(one.share * 100)} %`), text(one.mean)]))}
<h2>${text(say("report.failures"))}</h2>
${failures.length ? table([say("report.jobs"), say("report.what"), say("report.examples")], failures.slice(0, GROUPS).map((one) => [text(one.ids.length), text(one.what), text(one.ids.slice(0, EXAMPLES).join(", "))])) : `<p>${text(say("report.none"))}</p>`}
<h2>${text(say("report.jobs"))}</h2><p class="soft">${text(shown < report.total ? say("report.first", { count: shown, total: report.total }) : say("report.all", { total: report.total }))}</p>
${table([say("column.id"), say("report.status"), say("report.machine"), say("column.duration"), say("report.outcome")], report.rows.map((one) => [text(one.id), text(say(`status.${String(one.status)}`)), text(one.machine_id), text(typeof one.spend_s === "number" ? `${one.spend_s.toFixed(2)} s` : ""), text(outcome(one))]))}
</body></html>
`;
}
