// The statuses and machine states: their words, colours and icons. Pure.
import type { Job, Status, Words } from "@/api/types";

export const WORD_OF: Record<Status, Words> = { 0: "waiting", 1: "running", 2: "returning", 3: "done", [-1]: "failed", [-2]: "return_failed" };
export const STATUS_OF: Record<Words, Status> = { waiting: 0, running: 1, returning: 2, done: 3, failed: -1, return_failed: -2 };

export type Tone = "done" | "running" | "waiting" | "failed" | "quiet";

export const TONE_OF: Record<string, Tone> = {
  waiting: "waiting", assigned: "running", running: "running", returning: "running", done: "done", failed: "failed", return_failed: "failed",
};

export const MACHINE_TONE: Record<string, Tone> = {
  ready: "done", connecting: "running", paused: "waiting", draining: "waiting", closed: "quiet",
  unreachable: "failed", untrusted: "failed", refused: "failed", unfit: "failed",
};

/** Sent to a machine is not yet running there. */
export function shownStatus(job: Pick<Job, "status" | "started_at">): Words | "assigned" {
  return job.status === 1 && job.started_at === null ? "assigned" : WORD_OF[job.status];
}

export const isTerminal = (status: Status): boolean => status === 3 || status < 0;
export const canRerun = isTerminal;
export const canStop = (status: Status): boolean => status === 0 || status === 1;
export const canDelete = (status: Status): boolean => status !== 1;

/** How long the job has run or ran; null where that says nothing. */
export function durationOf(job: Pick<Job, "status" | "started_at" | "spend_s">, now: number): number | null {
  if (job.status === 1) return job.started_at === null ? null : Math.max(0, now - job.started_at);
  return job.status === 0 ? null : job.spend_s;
}

/** Sums of a summary's counters, by the four tiles of the home page. */
export function totalsOf(summaries: { jobs: Record<string, number> }[]): Record<"done" | "running" | "waiting" | "failed", number> {
  const sum = (...statuses: string[]) =>
    summaries.reduce((all, one) => all + statuses.reduce((n, status) => n + (one.jobs[status] ?? 0), 0), 0);
  return { done: sum("3", "done"), running: sum("1", "2", "running", "returning"), waiting: sum("0", "waiting"), failed: sum("-1", "-2", "failed", "return_failed") };
}
