// A Python traceback taken apart, so that the frames of the person's own code stand out. Pure; hostile text stays text.

export interface Frame {
  file: string;
  line: number;
  name: string;
  code: string[];
  /** Of the job's folder, not of a library or of the runner. */
  own: boolean;
}

export interface Traceback {
  before: string;
  frames: Frame[];
  /** The exception's own lines. */
  last: string;
}

const HEAD = /^Traceback \(most recent call last\):\s*$/;
const FRAME = /^\s{2}File "(.*)", line (\d+)(?:, in (.*))?$/;
const FOREIGN = /site-packages|dist-packages|\/lib\/python\d|\/lib64\/python\d|^<|remote_runner|runner[^/]*\.pyz/;

/** The last traceback of a text (the one that ended the job); null when there is none. */
export function parseTraceback(text: string): Traceback | null {
  const lines = text.split("\n");
  const start = lines.findLastIndex((line) => HEAD.test(line));
  if (start < 0) return null;
  const frames: Frame[] = [];
  let at = start + 1;
  for (; at < lines.length; at += 1) {
    const line = lines[at] ?? "";
    const found = FRAME.exec(line);
    const last = frames.at(-1);
    if (found) {
      const file = found[1] ?? "";
      frames.push({ file, line: Number(found[2]), name: found[3] ?? "", code: [], own: !FOREIGN.test(file) });
    } else if (last && /^\s{3,}/.test(line)) last.code.push(line.slice(4));
    else if (last && /^\s{2}\[/.test(line)) last.code.push(line.trim());
    else break;
  }
  return { before: lines.slice(0, start).join("\n").trim(), frames, last: lines.slice(at).join("\n").trim() };
}

/** The one line that says most about a failure. */
export function headline(text: string | null | undefined): string {
  if (!text) return "";
  const found = parseTraceback(text);
  const source = found?.last || text;
  return source.split("\n").find((line) => line.trim() !== "")?.trim() ?? "";
}
