// A batch's results as a file: read by cursor as any client does, a page at a time.
import { addressOf, Problem } from "@/api";
import { session } from "@/state/session";
import { cellOf } from "./cells";
import { saveText } from "./clipboard";

interface Row {
  id: number;
  [key: string]: unknown;
}

const PAGE = 1000;
const COLUMNS = ["id", "status", "reason", "attempt", "machine_id", "version", "count", "spend_s", "result", "error"];

async function page(batch: string, cursor: number): Promise<{ rows: Row[]; cursor: number }> {
  const response = await fetch(addressOf("results"), {
    method: "POST", cache: "no-store",
    headers: { "Content-Type": "application/json", ...(session.me?.csrf ? { "X-MJ-CSRF": session.me.csrf } : {}) },
    body: JSON.stringify({ batch, cursor, limit: PAGE }),
  });
  if (!response.ok) throw new Problem({ status: response.status, code: "error", message: response.statusText });
  const lines = (await response.text()).trim().split("\n").map((line) => JSON.parse(line) as Row & { cursor?: number });
  const last = lines.pop();
  return { rows: lines, cursor: Number(last?.cursor ?? cursor) };
}

export async function exportResults(batch: string, how: "jsonl" | "csv"): Promise<void> {
  const parts: string[] = how === "csv" ? [`${COLUMNS.join(",")}\n`] : [];
  let cursor = 0;
  for (;;) {
    const found = await page(batch, cursor);
    for (const row of found.rows) parts.push(how === "csv" ? `${COLUMNS.map((key) => cellOf(row[key])).join(",")}\n` : `${JSON.stringify(row)}\n`);
    if (found.rows.length === 0 || found.cursor === cursor) break;
    cursor = found.cursor;
  }
  saveText(`${batch.replace(/[^\w.-]/g, "_")}.${how}`, parts.join(""), how === "csv" ? "text/csv" : "application/x-ndjson");
}
