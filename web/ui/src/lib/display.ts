// Results with a display bundle, as notebooks know it (mime type → data), and how each kind is shown safely. Pure but
// for DOMParser. Nothing of it ever becomes part of our own document: pictures go into <img>, HTML into a sandboxed
// frame after everything but plain markup has been taken out of it.

export type Shown =
  | { kind: "image"; mime: string; url: string }
  | { kind: "html"; mime: string; html: string }
  | { kind: "table"; mime: string; rows: string[][] }
  | { kind: "text"; mime: string; text: string };

const IMAGES = ["image/png", "image/jpeg", "image/gif", "image/webp"];
/** The richest first. */
const ORDER = ["image/svg+xml", ...IMAGES, "text/html", "text/markdown", "text/csv", "text/plain"];
const BASE64 = /^[A-Za-z0-9+/\s]+={0,2}\s*$/;

/** The bundle in a result: the whole result, or its member "display". */
export function bundleOf(result: unknown): Record<string, string> | null {
  for (const candidate of [result, member(result, "display"), member(result, "_display")]) {
    if (candidate === null || typeof candidate !== "object" || Array.isArray(candidate)) continue;
    const entries = Object.entries(candidate as Record<string, unknown>).filter(([mime]) => ORDER.includes(mime));
    if (entries.length === 0) continue;
    return Object.fromEntries(entries.map(([mime, data]) => [mime, Array.isArray(data) ? data.join("") : String(data)]));
  }
  return null;
}

function member(value: unknown, name: string): unknown {
  return value !== null && typeof value === "object" ? (value as Record<string, unknown>)[name] : undefined;
}

export function mimesOf(bundle: Record<string, string>): string[] {
  return ORDER.filter((mime) => mime in bundle);
}

export function shownOf(mime: string, data: string, readCsv: (text: string) => string[][]): Shown {
  if (mime === "image/svg+xml") return { kind: "image", mime, url: `data:image/svg+xml;charset=utf-8,${encodeURIComponent(data)}` };
  if (IMAGES.includes(mime) && BASE64.test(data)) return { kind: "image", mime, url: `data:${mime};base64,${data.replace(/\s+/g, "")}` };
  if (mime === "text/html") return { kind: "html", mime, html: frameOf(plainMarkup(data)) };
  if (mime === "text/markdown") return { kind: "html", mime, html: frameOf(markdown(data)) };
  if (mime === "text/csv") return { kind: "table", mime, rows: readCsv(data) };
  return { kind: "text", mime, text: data };
}

const TAGS = new Set(
  ("a abbr b blockquote br caption code col colgroup dd del div dl dt em figcaption figure h1 h2 h3 h4 h5 h6 hr i ins kbd li mark ol p pre q s " +
    "samp small span strong sub sup table tbody td tfoot th thead tr u ul var").split(" "),
);
const ATTRIBUTES = new Set(["colspan", "rowspan", "scope", "title", "align", "valign"]);
/** Dropped with all that is in them. */
const SILENT = new Set("script style template iframe object embed svg math noscript head title textarea select".split(" "));

/** Markup with nothing that acts, loads, styles or links. */
export function plainMarkup(html: string): string {
  const source = new DOMParser().parseFromString(quiet(html), "text/html");
  const clean = document.implementation.createHTMLDocument("");
  copyInto(clean.body, source.body, clean);
  return clean.body.innerHTML;
}

/** What the browser would complain of while it only reads: handlers and styles under other names. Dropped later anyway. */
function quiet(html: string): string {
  return html.replace(/<[^>]*>/g, (tag) => tag.replace(/([\s/"'])(?:on\w+|style)(?=\s*=)/gi, "$1data-off").replace(/^(<\/?)style\b/i, "$1template"));
}

function copyInto(target: Element, source: Element, owner: Document): void {
  for (const node of Array.from(source.childNodes)) {
    if (node.nodeType === Node.TEXT_NODE) target.append(owner.createTextNode(node.textContent ?? ""));
    if (!(node instanceof Element)) continue;
    const tag = node.localName;
    if (SILENT.has(tag)) continue;
    if (!TAGS.has(tag)) {
      copyInto(target, node, owner);
      continue;
    }
    const made = owner.createElement(tag);
    for (const { name, value } of Array.from(node.attributes)) if (ATTRIBUTES.has(name)) made.setAttribute(name, value);
    copyInto(made, node, owner);
    target.append(made);
  }
}

const escaped = (text: string) => text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);

/** The little of Markdown that reports use: headings, lists, tables, code, emphasis. Everything is escaped first. */
export function markdown(text: string): string {
  const out: string[] = [];
  const lines = text.replace(/\r/g, "").split("\n");
  for (let at = 0; at < lines.length; ) {
    const line = lines[at] ?? "";
    const taken = block(lines, at, out);
    if (taken === 0) {
      if (line.trim()) out.push(`<p>${inline(line)}</p>`);
      at += 1;
    } else at += taken;
  }
  return out.join("\n");
}

/** How many lines the block that begins here takes; 0: it is a plain line. */
function block(lines: string[], at: number, out: string[]): number {
  const rest = lines.slice(at);
  const line = rest[0] ?? "";
  const run = (test: (one: string) => boolean) => {
    const end = rest.findIndex((one) => !test(one));
    return end < 0 ? rest.length : end;
  };
  if (/^```/.test(line)) {
    const end = rest.slice(1).findIndex((one) => /^```/.test(one));
    const body = rest.slice(1, end < 0 ? undefined : end + 1);
    out.push(`<pre>${escaped(body.join("\n"))}</pre>`);
    return body.length + (end < 0 ? 1 : 2);
  }
  const heading = /^(#{1,6})\s+(.*)$/.exec(line);
  if (heading) {
    const level = (heading[1] ?? "#").length;
    out.push(`<h${level}>${inline(heading[2] ?? "")}</h${level}>`);
    return 1;
  }
  if (/^\s*[-*]\s+/.test(line)) {
    const count = run((one) => /^\s*[-*]\s+/.test(one));
    out.push(`<ul>${rest.slice(0, count).map((one) => `<li>${inline(one.replace(/^\s*[-*]\s+/, ""))}</li>`).join("")}</ul>`);
    return count;
  }
  if (/^\s*\|.*\|\s*$/.test(line) && /^\s*\|[\s:|-]+\|\s*$/.test(rest[1] ?? "")) {
    const count = run((one) => /^\s*\|.*\|\s*$/.test(one));
    const cells = (one: string) => one.trim().slice(1, -1).split("|").map((cell) => inline(cell.trim()));
    const row = (tag: string) => (one: string) => `<tr>${cells(one).map((cell) => `<${tag}>${cell}</${tag}>`).join("")}</tr>`;
    out.push(`<table>${row("th")(line)}${rest.slice(2, count).map(row("td")).join("")}</table>`);
    return count;
  }
  return 0;
}

function inline(text: string): string {
  return escaped(text)
    .replace(/`([^`]+)`/g, "<code>$1</code>")
    .replace(/\*\*([^*]+)\*\*/g, "<b>$1</b>")
    .replace(/\*([^*]+)\*/g, "<i>$1</i>");
}

/** A whole document for the sandboxed frame; its looks come from a file of ours, as the policy asks. */
function frameOf(body: string): string {
  return `<!doctype html><html><head><meta charset="utf-8"><link rel="stylesheet" href="frame.css"></head><body>${body}</body></html>`;
}
