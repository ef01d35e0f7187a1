// Where things stand on the timeline. Pure: bars and a window in, lanes, rectangles and heat out.
import type { Bar } from "@/api";

export interface Row {
  machine: string;
  lanes: number;
  /** Of the first lane, counted over all machines. */
  top: number;
}

export interface Placed {
  bar: Bar;
  lane: number;
}

export interface Gantt {
  rows: Row[];
  placed: Placed[];
  lanes: number;
}

const GAP_LANES = 0.6;

/** Bars that overlap on one machine stand in lanes of their own: first free lane, in order of beginning. */
export function laneOut(bars: readonly Bar[], now: number): Gantt {
  const machines = [...new Set(bars.map((bar) => bar.machine_id))].sort();
  const rows: Row[] = [];
  const placed: Placed[] = [];
  let top = 0;
  for (const machine of machines) {
    const ends: number[] = [];
    const own = bars.filter((bar) => bar.machine_id === machine).sort((a, b) => a.begin_at - b.begin_at);
    for (const bar of own) {
      const free = ends.findIndex((end) => end <= bar.begin_at);
      const lane = free < 0 ? ends.length : free;
      ends[lane] = bar.end_at ?? now;
      placed.push({ bar, lane: top + lane });
    }
    rows.push({ machine, lanes: ends.length, top });
    top += ends.length + GAP_LANES;
  }
  return { rows, placed, lanes: top };
}

export interface Heat {
  machines: string[];
  /** Per machine, per column: share of the column's time spent working, over all slots; may exceed 1. */
  cells: { busy: number; failed: number; jobs: number }[][];
  columns: number;
}

const empty = (columns: number) => Array.from({ length: columns }, () => ({ busy: 0, failed: 0, jobs: 0 }));

export function heatOfBars(bars: readonly Bar[], since: number, until: number, columns: number, now: number): Heat {
  const machines = [...new Set(bars.map((bar) => bar.machine_id))].sort();
  const step = (until - since) / columns;
  const cells = machines.map(() => empty(columns));
  for (const bar of bars) {
    const row = cells[machines.indexOf(bar.machine_id)] ?? [];
    const end = Math.min(until, bar.end_at ?? now);
    const first = Math.max(0, Math.floor((bar.begin_at - since) / step));
    const last = Math.min(columns - 1, Math.floor((end - since) / step));
    for (let at = first; at <= last; at += 1) {
      const cell = row[at];
      if (!cell) continue;
      const from = Math.max(bar.begin_at, since + at * step);
      const to = Math.min(end, since + (at + 1) * step);
      cell.busy += Math.max(0, to - from) / step;
    }
    const cell = row[last];
    if (cell && last >= first) {
      cell.jobs += 1;
      if (Number(bar.status) < 0) cell.failed += 1;
    }
  }
  return { machines, cells, columns };
}

export interface Bucket {
  machine_id: string;
  begin_at: number;
  attempts: number;
  failed: number;
  spend_s: number;
}

export function heatOfBuckets(buckets: readonly Bucket[], since: number, until: number, bucketS: number): Heat {
  const machines = [...new Set(buckets.map((one) => one.machine_id))].sort();
  const columns = Math.max(1, Math.ceil((until - since) / bucketS));
  const cells = machines.map(() => empty(columns));
  for (const one of buckets) {
    const cell = cells[machines.indexOf(one.machine_id)]?.[Math.min(columns - 1, Math.max(0, Math.floor((one.begin_at - since) / bucketS)))];
    if (!cell) continue;
    cell.busy += one.spend_s / bucketS;
    cell.jobs += one.attempts;
    cell.failed += one.failed;
  }
  return { machines, cells, columns };
}

/** Ticks that people read easily, at most so many. */
export function ticks(since: number, until: number, most: number): { at: number; step: number }[] {
  const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400, 172_800, 604_800];
  const step = STEPS.find((one) => (until - since) / one <= most) ?? 604_800;
  const found: { at: number; step: number }[] = [];
  for (let at = Math.ceil(since / step) * step; at <= until; at += step) found.push({ at, step });
  return found;
}
