// The filter grammar of page, CLI, SDK and API: commas mean "one of", a leading "!" means "none of".
// Pure: the address's query in, chips out, and back.

export const FILTER_KEYS = ["status", "job_type", "batch", "machine_id", "tag", "version", "q", "since", "until", "cleared"] as const;
export type FilterKey = (typeof FILTER_KEYS)[number];

export const STATUS_WORDS = ["waiting", "running", "returning", "done", "failed", "return_failed"] as const;

/** These take one value only. */
export const SINGLE_KEYS: readonly FilterKey[] = ["q", "since", "until", "cleared"];
/** These cannot be negated. */
export const POSITIVE_KEYS: readonly FilterKey[] = [...SINGLE_KEYS, "version"];

export interface Chip {
  key: FilterKey;
  not: boolean;
  values: string[];
}

export type Filter = Partial<Record<FilterKey, string>>;

type QueryValue = string | null | undefined | (string | null)[];

/** The filter in an address; what is no filter there is left out. */
export function filterOf(query: Record<string, QueryValue>): Filter {
  const filter: Filter = {};
  for (const key of FILTER_KEYS) {
    const value = query[key];
    const text = Array.isArray(value) ? value[0] : value;
    if (typeof text === "string" && (text !== "" || key === "tag" || key === "batch")) filter[key] = text;
  }
  return filter;
}

export function isEmpty(filter: Filter): boolean {
  return Object.keys(filter).length === 0;
}

/** One condition, taken apart. */
export function chipOf(key: FilterKey, text: string): Chip {
  if (SINGLE_KEYS.includes(key)) return { key, not: false, values: [text] };
  const not = text.startsWith("!");
  return { key, not, values: (not ? text.slice(1) : text).split(",").map((value) => value.trim()) };
}

export function textOf(chip: Chip): string {
  return (chip.not ? "!" : "") + chip.values.join(",");
}

export function chipsOf(filter: Filter): Chip[] {
  return FILTER_KEYS.filter((key) => filter[key] !== undefined).map((key) => chipOf(key, filter[key] ?? ""));
}

export function withChip(filter: Filter, chip: Chip): Filter {
  return { ...filter, [chip.key]: textOf(chip) };
}

export function without(filter: Filter, key: FilterKey): Filter {
  const rest = { ...filter };
  delete rest[key];
  return rest;
}

/** Read what a person typed: `key=value`, `key!=value`, or plain text, which searches. */
export function chipFromText(text: string): Chip | null {
  const typed = text.trim();
  if (!typed) return null;
  const found = /^([a-z_]+)\s*(!?=|!=|:)\s*(.*)$/.exec(typed);
  const key = found?.[1] as FilterKey | undefined;
  if (!found || !key || !FILTER_KEYS.includes(key)) return { key: "q", not: false, values: [typed] };
  const chip = chipOf(key, found[3] ?? "");
  return found[2] === "!=" && !POSITIVE_KEYS.includes(key) ? { ...chip, not: true } : chip;
}

/** As the words of a command line. */
export function asCommand(filter: Filter): string {
  return Object.entries(filter).map(([key, value]) => `--filter ${quoted(`${key}=${value}`)}`).join(" ");
}

/** As a Python call with the SDK. */
export function asPython(filter: Filter): string {
  const words = Object.entries(filter).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return `from multijob import Client\n\nclient = Client()\nfor job in client.jobs(${words.join(", ")}):\n    print(job)`;
}

export function asCurl(origin: string, filter: Filter): string {
  const text = new URLSearchParams(Object.entries(filter)).toString();
  return `curl -H "Authorization: Bearer $MJ_TOKEN" ${quoted(`${origin}api/v1/jobs${text ? `?${text}` : ""}`)}`;
}

/** Safe to paste into a POSIX shell. */
export function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`;
}
