// Batches from their own path, or summed up from the counters where the server does not have that path yet.
import { isMissing, type Batch, type Summary, type Words } from "@/api";
import { WORD_OF } from "./status";

type Page = { batches: Batch[]; next?: string | number | null };

interface Api {
  batches(query: { size?: number; after?: string; q?: string }): Promise<Page>;
  summary(query: { by_batch?: boolean }): Promise<{ summary: Summary[] }>;
}

export const total = (jobs: Record<string, number>): number => Object.values(jobs).reduce((sum, count) => sum + count, 0);

export async function batchesOf(query: { size: number; after: string; q: string }, api: Api): Promise<Page> {
  try {
    return await api.batches(query);
  } catch (problem) {
    if (!isMissing(problem)) throw problem;
    return { batches: summed((await api.summary({ by_batch: true })).summary).filter((one) => one.batch.includes(query.q)), next: null };
  }
}

export function summed(rows: Summary[]): Batch[] {
  const found = new Map<string, Batch>();
  for (const row of rows) {
    const name = row.batch ?? "";
    const batch = found.get(name) ?? { batch: name, jobs: none(), begin_at: row.begin_at, updated_at: row.updated_at, rate_per_s: null, eta_s: null, p50_s: null, p95_s: null };
    for (const [status, word] of Object.entries(WORD_OF)) batch.jobs[word] += row.jobs[status] ?? 0;
    batch.begin_at = Math.min(batch.begin_at, row.begin_at);
    batch.updated_at = Math.max(batch.updated_at, row.updated_at);
    found.set(name, batch);
  }
  return [...found.values()].sort((a, b) => b.updated_at - a.updated_at);
}

function none(): Record<Words, number> {
  return { waiting: 0, running: 0, returning: 0, done: 0, failed: 0, return_failed: 0 };
}
