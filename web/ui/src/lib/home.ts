// What the home page shows, from the one request made for it. Pure but for asking.
import { api, type Batch, type FailureGroup, type Home, type Machine } from "@/api";
import type { Slice } from "@/components/HourChart.vue";
import { totalsOf, WORD_OF } from "./status";

export interface HomeView {
  totals: Record<"done" | "running" | "waiting" | "failed", number>;
  rows: number;
  slices: Slice[];
  types: Home["types"];
  failures: FailureGroup[];
  batches: Batch[];
  machines: Machine[];
  machineCount: number;
}

const HOUR_S = 3600;
const TILE = { waiting: "waiting", running: "running", returning: "running", done: "done", failed: "failed", return_failed: "failed" } as const;

export async function loadHome(window_s: number): Promise<HomeView> {
  return viewOf(await api.home(window_s));
}

export function viewOf(home: Home): HomeView {
  return {
    totals: totalsOf([home]), rows: home.count, slices: slicesOf(home), types: home.types, failures: home.failures, batches: home.batches,
    machines: home.machines, machineCount: Object.values(home.machine_states).reduce((sum, count) => sum + count, 0),
  };
}

/** One slice an hour, also for those in which nothing happened. */
export function slicesOf(home: Pick<Home, "now" | "hours" | "took" | "window">): Slice[] {
  const first = home.window.first_at;
  const hours = Math.floor(home.now / HOUR_S) - Math.floor(first / HOUR_S) + 1;
  const slices: Slice[] = Array.from({ length: hours }, (_, at) => ({ at: first + at * HOUR_S, done: 0, running: 0, waiting: 0, failed: 0, rows: 0, types: [] as string[], p50_s: null, p95_s: null }));
  const sliceAt = (at: number) => slices[Math.round((at - first) / HOUR_S)];
  for (const row of home.hours) {
    const slice = sliceAt(row.at);
    if (!slice) continue;
    slice[TILE[WORD_OF[row.status]]] += row.jobs;
    slice.rows += row.count;
    if (!slice.types.includes(row.job_type)) slice.types.push(row.job_type);
  }
  for (const took of home.took) {
    const slice = sliceAt(took.at);
    if (slice) Object.assign(slice, { p50_s: took.p50_s, p95_s: took.p95_s });
  }
  return slices;
}
