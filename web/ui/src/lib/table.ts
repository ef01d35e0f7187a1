// CSV and JSON Lines into the inputs of jobs. Pure.

export interface Input {
  args: unknown[];
  kwargs: Record<string, unknown>;
}

export class Unreadable extends Error {
  readonly line: number;
  constructor(line: number, message: string) {
    super(message);
    this.line = line;
  }
}

/** Rows of a CSV text, quotes and line breaks inside quotes respected (RFC 4180). */
export function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  let cell = "";
  let quoted = false;
  const source = text.replace(/^\uFEFF/, "");
  const endCell = () => {
    row.push(cell);
    cell = "";
  };
  const endRow = () => {
    endCell();
    if (row.length > 1 || row[0] !== "") rows.push(row);
    row = [];
  };
  for (let at = 0; at < source.length; at += 1) {
    const char = source[at];
    if (quoted) {
      if (char !== '"') cell += char;
      else if (source[at + 1] === '"') {
        cell += '"';
        at += 1;
      } else quoted = false;
    } else if (char === '"' && cell === "") quoted = true;
    else if (char === ",") endCell();
    else if (char === "\n") endRow();
    else if (char !== "\r") cell += char;
  }
  if (quoted) throw new Unreadable(rows.length + 1, "unclosed_quote");
  if (cell !== "" || row.length > 0) endRow();
  return rows;
}

/** What a cell means: JSON where it reads as JSON, else the text itself (as `mj submit --csv` does). */
export function valueOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export function inputsOfCsv(text: string): Input[] {
  const [head, ...rows] = parseCsv(text);
  if (!head) return [];
  return rows.map((row, index) => {
    if (row.length > head.length) throw new Unreadable(index + 2, "too_many_cells");
    const pairs = head.map((name, at) => [name.trim(), valueOf(row[at] ?? "")] as const);
    return { args: [], kwargs: Object.fromEntries(pairs) };
  });
}

/** A line is an object of named arguments, or a list of arguments in order. */
export function inputsOfJsonl(text: string): Input[] {
  return text.split("\n").flatMap((line, index) => {
    if (!line.trim()) return [];
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      throw new Unreadable(index + 1, "not_json");
    }
    if (Array.isArray(value)) return [{ args: value, kwargs: {} }];
    if (value === null || typeof value !== "object") return [{ args: [value], kwargs: {} }];
    return [{ args: [], kwargs: value as Record<string, unknown> }];
  });
}

export function inputsOf(name: string, text: string): Input[] {
  return /\.(jsonl|ndjson|json)$/i.test(name) || /^\s*[{[]/.test(text) ? inputsOfJsonl(text) : inputsOfCsv(text);
}
