// A folder chosen in the browser as a zip, stored without compression: a few lines instead of a library.

interface Entry {
  path: string;
  data: Uint8Array<ArrayBuffer>;
}

const TABLE = Array.from({ length: 256 }, (_, at) => {
  let value = at;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value >>> 0;
});

export function crc32(data: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of data) value = (TABLE[(value ^ byte) & 0xff] ?? 0) ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

/** 1 January 1980: equal folders make equal zips. */
const DATE = 0x21;
const UTF8 = 0x0800;

function header(signature: number, fields: [2 | 4, number][]): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(4 + fields.reduce((sum, [size]) => sum + size, 0)));
  view.setUint32(0, signature, true);
  let at = 4;
  for (const [size, value] of fields) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return new Uint8Array(view.buffer);
}

export function zipOf(entries: readonly Entry[]): Blob {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const central: Uint8Array<ArrayBuffer>[] = [];
  let offset = 0;
  for (const entry of entries) {
    const name = new TextEncoder().encode(entry.path);
    const facts: [2 | 4, number][] = [[2, 20], [2, UTF8], [2, 0], [2, 0], [2, DATE], [4, crc32(entry.data)], [4, entry.data.length], [4, entry.data.length], [2, name.length], [2, 0]];
    const local = header(0x04034b50, facts);
    parts.push(local, name, entry.data);
    central.push(header(0x02014b50, [[2, 20], ...facts, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]]), name);
    offset += local.length + name.length + entry.data.length;
  }
  const size = central.reduce((sum, part) => sum + part.length, 0);
  const end = header(0x06054b50, [[2, 0], [2, 0], [2, entries.length], [2, entries.length], [4, size], [4, offset], [2, 0]]);
  return new Blob([...parts, ...central, end], { type: "application/zip" });
}

const SKIPPED = /(^|\/)(__pycache__|\.git|\.venv|node_modules)(\/|$)|\.pyc$|(^|\/)\.DS_Store$/;

/** The files below the chosen folder, with paths relative to it; caches and repositories left out. */
export function pathsOf(files: readonly { webkitRelativePath: string }[]): string[] {
  return files.map((file) => file.webkitRelativePath.split("/").slice(1).join("/")).map((path) => (SKIPPED.test(path) ? "" : path));
}

export async function zipFolder(files: readonly File[]): Promise<{ name: string; zip: Blob; count: number }> {
  const paths = pathsOf(files);
  const entries: Entry[] = [];
  for (const [at, file] of files.entries()) {
    const path = paths[at];
    if (path) entries.push({ path, data: new Uint8Array(await file.arrayBuffer()) });
  }
  entries.sort((a, b) => (a.path < b.path ? -1 : 1));
  return { name: files[0]?.webkitRelativePath.split("/")[0] ?? "", zip: zipOf(entries), count: entries.length };
}
