// A log in parts, as lines with numbers. Pure. What lies between the parts is said, never hidden.

export interface LogLine {
  /** Byte at which it begins, in what was printed: its name for as long as the log grows. */
  at: number;
  /** Counted from the first line that is here; null for a gap, and where the beginning is not here. */
  number: number | null;
  text: string;
  error: boolean;
  /** Bytes that are not kept, in a gap's line. */
  gap: number;
}

/** A piece of what was printed, from this byte on. */
export interface Piece {
  offset: number;
  text: string;
  bytes: number;
}

export interface LogText {
  lines: LogLine[];
  /** Bytes that were printed but are not here. */
  missing: number;
  total: number;
}

const BAD = /\b(error|exception|traceback|fatal|critical|failed)\b|错误|异常|失败/i;
const encoder = new TextEncoder();

export function bytesOf(text: string): number {
  return encoder.encode(text).length;
}

export function piece(offset: number, text: string): Piece {
  return { offset, text, bytes: bytesOf(text) };
}

/** Colours and other commands of a terminal, taken out. */
export function plain(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)/g, "");
}

/** What a terminal would show of a row that was written over again and again. */
function shownOf(row: string): string {
  return row.includes("\r") ? (row.split("\r").filter(Boolean).at(-1) ?? "") : row;
}

function linesOf(one: Piece, first: number | null): LogLine[] {
  if (one.text === "") return [];
  const rows = one.text.split("\n");
  if (rows.at(-1) === "") rows.pop();
  let at = one.offset;
  return rows.map((row, index) => {
    const text = shownOf(row);
    const line = { at, number: first === null ? null : first + index, text, error: BAD.test(text), gap: 0 };
    at += (row.length < 64 && !/[^\x00-\x7f]/.test(row) ? row.length : bytesOf(row)) + 1;
    return line;
  });
}

/** Pieces in order, none over another, and how much was printed in all. */
export function logFrom(pieces: readonly Piece[], total: number): LogText {
  const lines: LogLine[] = [];
  let here = 0;
  let end = 0;
  let number: number | null = 1;
  for (const one of pieces) {
    if (one.offset > end && (end > 0 || lines.length)) lines.push({ at: end, number: null, text: "", error: false, gap: one.offset - end });
    else if (one.offset > 0 && lines.length === 0) number = null;
    const made = linesOf(one, number);
    lines.push(...made);
    number = number === null ? null : number + made.length;
    end = one.offset + one.bytes;
    here += one.bytes;
  }
  return { lines, missing: Math.max(0, total - here), total };
}

/** Both ends as the server keeps them of an attempt that has ended. */
export function piecesOf(part: { head?: string; tail?: string; text?: string; offset?: number; total?: number }): { pieces: Piece[]; total: number } {
  const head = piece(part.offset ?? 0, part.head ?? part.text ?? "");
  const tail = part.tail ?? "";
  const kept = head.offset + head.bytes + bytesOf(tail);
  const total = Math.max(part.total ?? kept, kept);
  if (!tail) return { pieces: [head], total };
  return { pieces: total === kept ? [piece(head.offset, head.text + tail)] : [head, piece(total - bytesOf(tail), tail)], total };
}

export function logOf(part: { head?: string; tail?: string; text?: string; offset?: number; total?: number }): LogText {
  const { pieces, total } = piecesOf(part);
  return logFrom(pieces, total);
}

/** With what was printed since; the oldest is let go of beyond ``most`` bytes, a line at a time. */
export function grown(pieces: readonly Piece[], more: Piece, most: number): Piece[] {
  const last = pieces.at(-1);
  let all: Piece[];
  if (!last) all = [more];
  else if (more.bytes === 0) all = [...pieces];
  else if (last.offset + last.bytes === more.offset) all = [...pieces.slice(0, -1), { offset: last.offset, text: last.text + more.text, bytes: last.bytes + more.bytes }];
  else all = [...pieces, more];
  return trimmed(all, most);
}

function trimmed(pieces: Piece[], most: number): Piece[] {
  let over = pieces.reduce((sum, one) => sum + one.bytes, 0) - most;
  const kept = [...pieces];
  while (over > 0 && kept.length) {
    const first = kept[0] as Piece;
    if (first.bytes <= over && kept.length > 1) {
      kept.shift();
      over -= first.bytes;
      continue;
    }
    const from = first.text.indexOf("\n", Math.min(over, first.text.length) - 1) + 1;
    const text = first.text.slice(from || over);
    const bytes = bytesOf(text);
    kept[0] = { offset: first.offset + first.bytes - bytes, text, bytes };
    break;
  }
  return kept;
}

/** With an earlier part in front. */
export function preceded(pieces: readonly Piece[], earlier: Piece): Piece[] {
  const first = pieces[0];
  if (!first || earlier.bytes === 0) return [...pieces];
  if (earlier.offset + earlier.bytes !== first.offset) return [earlier, ...pieces];
  return [{ offset: earlier.offset, text: earlier.text + first.text, bytes: earlier.bytes + first.bytes }, ...pieces.slice(1)];
}

/** A terminal's links become their words: an address somebody printed is not ours to offer. */
export function withoutLinks(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)/g, "");
}
