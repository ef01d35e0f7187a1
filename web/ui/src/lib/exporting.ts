// Jobs and their results as a file: of a batch, or of those a filter means; read a page at a time, newest first.
import { api, addressOf, Problem, type Job } from "@/api";
import { session } from "@/state/session";
import { cellOf } from "./cells";
import { saveText } from "./clipboard";
import { WORD_OF } from "./status";

export type Format = "jsonl" | "csv";
export type Row = Record<string, unknown> & { id: number };

const PAGE = 1000;
const COLUMNS = ["id", "job_type", "batch", "tag", "status", "reason", "attempt", "machine_id", "version", "count", "spend_s", "created_at", "updated_at", "result", "error"];

/** What these jobs brought, by id; a job that has not ended is not among them. */
async function resultsOf(ids: readonly number[]): Promise<Map<number, Row>> {
  const found = new Map<number, Row>();
  for (let cursor = 0; ; ) {
    const page = await resultsPage(rangesOf(ids), cursor);
    for (const row of page.rows) found.set(row.id, row);
    if (page.rows.length === 0 || page.cursor === cursor) return found;
    cursor = page.cursor;
  }
}

/** Ascending ids as pairs of first and last. */
export function rangesOf(ids: readonly number[]): [number, number][] {
  const ranges: [number, number][] = [];
  for (const id of [...ids].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last && id <= last[1] + 1) last[1] = id;
    else ranges.push([id, id]);
  }
  return ranges;
}

async function resultsPage(ids: [number, number][], cursor: number): Promise<{ rows: Row[]; cursor: number }> {
  const response = await fetch(addressOf("results"), {
    method: "POST", cache: "no-store",
    headers: { "Content-Type": "application/json", ...(session.me?.csrf ? { "X-MJ-CSRF": session.me.csrf } : {}) },
    body: JSON.stringify({ ids, cursor, limit: PAGE }),
  });
  if (!response.ok) throw new Problem({ status: response.status, code: "error", message: response.statusText });
  const lines = (await response.text()).trim().split("\n").map((line) => JSON.parse(line) as Row & { cursor?: number });
  const last = lines.pop();
  return { rows: lines, cursor: Number(last?.cursor ?? cursor) };
}

function rowOf(job: Job, brought: Row | undefined): Row {
  return {
    id: job.id, job_type: job.job_type, batch: job.batch, tag: job.tag, status: WORD_OF[job.status], reason: job.reason, attempt: job.attempt,
    machine_id: job.machine_id, version: job.version, count: job.count, spend_s: job.spend_s, created_at: job.created_at, updated_at: job.updated_at,
    result: brought?.result ?? null, error: brought?.error ?? null,
  };
}

/** Page after page of the jobs a query means, with what they brought. */
export async function* rowsOf(query: Record<string, string>): AsyncGenerator<Row[]> {
  for (let after: string | null = null; ; ) {
    const page = await api.jobs({ ...query, size: String(PAGE), ...(after === null ? {} : { after }) });
    if (page.jobs.length) {
      const brought = await resultsOf(page.jobs.map((job) => job.id));
      yield page.jobs.map((job) => rowOf(job, brought.get(job.id)));
    }
    if (page.next === null) return;
    after = String(page.next);
  }
}

function textOf(row: Row, format: Format): string {
  return format === "csv" ? `${COLUMNS.map((key) => cellOf(row[key])).join(",")}\n` : `${JSON.stringify(row)}\n`;
}

/** Save them all; ``told`` hears how many there are so far, and answers whether to go on. */
export async function exportJobs(query: Record<string, string>, format: Format, name: string, told: (count: number) => boolean = () => true): Promise<void> {
  const parts: string[] = format === "csv" ? [`${COLUMNS.join(",")}\n`] : [];
  let count = 0;
  for await (const rows of rowsOf(query)) {
    parts.push(rows.map((row) => textOf(row, format)).join(""));
    count += rows.length;
    if (!told(count)) return;
  }
  saveText(`${fileName(name)}.${format}`, parts, format === "csv" ? "text/csv" : "application/x-ndjson");
}

export function fileName(name: string): string {
  return name.replace(/[^\w.-]/g, "_").slice(0, 100) || "jobs";
}
