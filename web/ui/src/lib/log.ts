// A log in parts, as lines with numbers. Pure. What lies between the kept head and tail is said, never hidden.

export interface LogLine {
  /** Counted from the part's first line; null for the gap. */
  number: number | null;
  text: string;
  error: boolean;
}

export interface LogText {
  lines: LogLine[];
  /** Bytes that were printed but are not kept. */
  missing: number;
  total: number;
}

const BAD = /\b(error|exception|traceback|fatal|critical|failed)\b|错误|异常|失败/i;
const encoder = new TextEncoder();

/** Colours and other commands of a terminal, taken out. */
export function plain(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)/g, "");
}

function linesOf(text: string, first: number): LogLine[] {
  if (text === "") return [];
  const rows = text.replace(/\r\n/g, "\n").split("\n");
  if (rows.at(-1) === "") rows.pop();
  return rows.map((row, index) => {
    const shown = row.includes("\r") ? (row.split("\r").filter(Boolean).at(-1) ?? "") : row;
    return { number: first + index, text: shown, error: BAD.test(shown) };
  });
}

export function logOf(part: { head?: string; tail?: string; text?: string; total?: number }): LogText {
  const head = part.head ?? part.text ?? "";
  const tail = part.tail ?? "";
  const kept = encoder.encode(head).length + encoder.encode(tail).length;
  const total = part.total ?? kept;
  const missing = Math.max(0, total - kept);
  if (missing === 0) return { lines: linesOf(head + tail, 1), missing: 0, total };
  const before = linesOf(head, 1);
  const gap: LogLine = { number: null, text: "", error: false };
  return { lines: [...before, gap, ...linesOf(tail, before.length + 1)], missing, total };
}

/** A terminal's links become their words: an address somebody printed is not ours to offer. */
export function withoutLinks(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)/g, "");
}
