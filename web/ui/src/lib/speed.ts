// How long jobs take against the median of their type. Pure.
import type { Job, Summary } from "@/api";

/** Job type → seconds that half of its finished jobs did not exceed. */
export function mediansOf(rows: readonly Summary[]): ReadonlyMap<string, number> {
  return new Map(rows.flatMap((row) => (row.p50_s ? [[row.job_type, row.p50_s] as const] : [])));
}

/** The median of what each finished job took, as a multiple of its type's median; of how many jobs. */
export function speedOf(jobs: readonly Job[], medians: ReadonlyMap<string, number>): { times: number; jobs: number } | null {
  const found = jobs.filter((job) => job.status === 3 && medians.has(job.job_type)).map((job) => job.spend_s / (medians.get(job.job_type) ?? 1));
  const sorted = found.sort((a, b) => a - b);
  const middle = sorted[Math.floor((sorted.length - 1) / 2)];
  return middle === undefined ? null : { times: middle, jobs: sorted.length };
}
