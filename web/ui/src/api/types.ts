// What API v1 answers, as TypeScript sees it. Times are unix seconds, durations seconds.

export type Status = 0 | 1 | 2 | 3 | -1 | -2;

export interface Job {
  id: number;
  job_type: string;
  batch: string;
  tag: string;
  priority: number;
  limit_count: number;
  status: Status;
  reason: string;
  attempt: number;
  starts: number;
  kill_requested: boolean;
  unreachable: boolean;
  machine_id: string;
  version: number;
  count: number;
  spend_s: number;
  cleared: boolean;
  due_at: number | null;
  created_at: number;
  claimed_at: number | null;
  started_at: number | null;
  updated_at: number;
  /** The beginning of the error or the result. */
  excerpt?: string | null;
  waiting_because?: Because | null;
  progress?: Progress | null;
}

/** What the job itself says of how far it is. */
export interface Progress {
  n: number;
  total: number | null;
  eta_s: number | null;
  at: number;
}

export interface Because {
  code: string;
  text: string;
}

export interface JobDetail extends Job {
  input: unknown;
  result: unknown;
  return_data: unknown;
  error: string | null;
  return_error: string | null;
}

export interface Attempt {
  attempt: number;
  machine_id: string;
  version: number;
  claimed_at: number | null;
  started_at: number | null;
  ended_at: number;
  spend_s: number;
  reason: string;
  started: boolean;
  exit_code: number | null;
  signal: number | null;
  count: number;
  error: string | null;
  return_error: string | null;
  has_log: boolean;
  result: unknown;
  return_data: unknown;
}

export interface JobPage {
  jobs: Job[];
  next: number | string | null;
  total?: number | null;
}

/** Both ends of a log that has ended, or (asked for by offset) a part of it. */
export interface LogPart {
  attempt: number;
  stream: string;
  head?: string;
  tail?: string;
  text?: string;
  offset?: number;
  end?: number;
  total?: number;
  /** The attempt goes on; ask again from ``next_offset``. */
  running?: boolean;
  next_offset?: number | null;
}

export type ActionName = "kill" | "rerun" | "copy" | "delete" | "clear" | "priority";

export interface BulkRequest {
  action: ActionName;
  filter?: Record<string, string>;
  ids?: number[];
  expect?: number;
  dry_run?: boolean;
  elsewhere?: boolean;
  priority?: number;
}

export interface BulkAnswer {
  operation_id?: number | null;
  action?: string;
  matched: number;
  changed: number;
  skipped: Record<string, number>;
  /** Of an operation: how many there are to look at; ``matched`` have been so far. */
  total?: number | null;
  state?: "running" | "done" | "stopped" | "failed";
  ids?: number[];
}

export interface Operation extends BulkAnswer {
  operation_id: number;
  action: string;
  state: "running" | "done" | "stopped" | "failed";
  filter?: Record<string, unknown> | null;
  named?: number | null;
  elsewhere?: boolean;
  total?: number | null;
  why?: string;
  who?: string;
  created_at?: number;
  updated_at?: number;
}

export interface Summary {
  job_type: string;
  batch: string | null;
  jobs: Record<string, number>;
  count: number;
  spend_s: number;
  tag: string;
  begin_at: number;
  updated_at: number;
  /** Of its finished jobs. */
  p50_s: number | null;
}

export interface Machine {
  machine_id: string;
  name: string;
  address: string;
  /** How the server gets there, as the inventory says; null: as ssh would by itself. */
  user: string | null;
  port: number | null;
  gateway: string | null;
  root: string;
  /** Path of the Python that runs its jobs; empty: not known yet. */
  interpreter: string;
  tags: string[];
  limit_process: number;
  state: string;
  text: string;
  fingerprint: string;
  assigned: number;
  running: number;
  platform: string;
  python: string;
  cpu_cores: number | null;
  cpu_ratio: number | null;
  load1: number | null;
  memory_used_mb: number | null;
  memory_free_mb: number | null;
  disk_used_mb: number | null;
  disk_free_mb: number | null;
  contact_at: number | null;
  created_at: number;
  updated_at: number;
  /** Job type → why this machine is given none of it for a while. */
  benched?: Record<string, unknown>;
  marks?: string[];
  environments?: Environment[];
}

/** Python with the packages that job types ask for, as it is kept on a machine. */
export interface Environment {
  digest: string;
  python: string;
  state: "building" | "ready" | "failed";
  size_bytes: number | null;
  used_at: number | null;
  job_types: string[];
  why: string | null;
}

export interface VersionSettings {
  timeout_s: number | null;
  return_timeout_s: number | null;
  tag: string;
  limit_count: number;
  env: string[];
  fresh_process: boolean;
  max_jobs_per_worker: number;
  exclusive: boolean;
  python: string;
}

export interface Version {
  job_type: string;
  version: number;
  digest: string;
  has_return_main: boolean;
  size_bytes: number;
  created_at: number;
  /** Where machines keep it, below our folder there. */
  folder: string;
  settings: VersionSettings;
}

export interface Parameter {
  name: string;
  kind: "plain" | "by_order" | "by_name";
  annotation: string | null;
  required: boolean;
  /** As written; the value too, where it is a plain one. */
  default_text: string | null;
  default?: unknown;
}

export interface FailureGroup {
  fingerprint: string;
  job_type: string;
  exception: string;
  message: string;
  frame: string;
  count: number;
  first_at: number;
  last_at: number;
  machines: Record<string, number>;
  versions: number[];
  reason: string;
  /** All that ever failed so; ``count`` is of jobs that are failed now. */
  attempts: number;
  recent: number;
  machine_count: number;
  hours: { at: number; attempts: number }[];
  sample: { job_id: number; attempt: number; machine_id?: string; version?: number; error?: string | null };
  muted: boolean;
}

export type Words = "waiting" | "running" | "returning" | "done" | "failed" | "return_failed";

export interface Batch {
  batch: string;
  jobs: Record<Words, number>;
  begin_at: number;
  updated_at: number;
  rate_per_s: number | null;
  eta_s: number | null;
  p50_s: number | null;
  p95_s: number | null;
  machines?: Record<string, { jobs: number; spend_s: number }>;
}

export interface Bar {
  machine_id: string;
  job_id: number;
  attempt: number;
  job_type: string;
  status: number | string;
  begin_at: number;
  end_at: number | null;
}

export interface Timeline {
  bars: Bar[];
  bucketed: boolean;
  bucket_s?: number | null;
  buckets: Record<string, unknown>[];
}

export interface AuditRow {
  at: number;
  who: string;
  source: string;
  action: string;
  detail: unknown;
  rows: number;
  outcome: string;
}

export interface Command {
  /** Null: done at once. */
  command_id: number | null;
  kind?: string;
  machine_id?: string;
  state: string;
  progress?: unknown[];
  answer: unknown;
}

export interface User {
  name: string;
  scopes: string[];
  created_at: number;
  changed_at: number;
  last_used_at: number | null;
}

export interface InventoryProblem {
  file?: string;
  line?: number | null;
  where?: string;
  message: string;
  remedy?: string;
}

export interface ServerFacts {
  version: string;
  server_id: string;
  uptime_s: number;
  now: number;
  auth: boolean;
  inventory_problems: InventoryProblem[];
  retention: Retention;
}

/** What of finished jobs is kept; 0: everything. */
export interface Retention {
  days: number;
  jobs: number;
}

export interface Me {
  name: string;
  scopes: string[];
  csrf: string | null;
}

export interface Token {
  name: string;
  scopes: string[];
  created_at: number;
  expires_at: number | null;
  last_used_at: number | null;
  revoked_at: number | null;
}

export interface Submission {
  job_type: string;
  inputs: { args: unknown[]; kwargs: Record<string, unknown> }[];
  batch?: string;
  tag?: string;
  priority?: number;
  limit_count?: number;
  /** Only there. */
  machine_id?: string;
}

export interface Submitted {
  first_id: number;
  count: number;
  cursor: number;
}

export interface Published {
  version: number;
  changed: boolean;
}

export interface MachineChanges {
  name?: string;
  tag?: string[];
  limit_process?: number;
  paused?: boolean;
  closed?: boolean;
}

export interface FileDiff {
  path: string;
  change?: string;
  diff?: string | null;
  binary?: boolean;
  old_bytes?: number | null;
  new_bytes?: number | null;
  too_long?: boolean;
}

export interface VersionDiff {
  files: FileDiff[];
}

export interface Signature {
  /** Null: work() is not a plain function of its file. */
  parameters: Parameter[] | null;
  doc: string | null;
}

export interface HourRow {
  at: number;
  job_type: string;
  status: Status;
  jobs: number;
  count: number;
  spend_s: number;
}

export interface Home {
  now: number;
  jobs: Record<Words, number>;
  count: number;
  window: { jobs: Record<Words, number>; count: number; spend_s: number; first_at: number };
  hours: HourRow[];
  took: { at: number; p50_s: number | null; p95_s: number | null }[];
  types: { job_type: string; jobs: number; p50_s: number | null; p95_s: number | null }[];
  failures: FailureGroup[];
  machines: Machine[];
  machine_states: Record<string, number>;
  batches: Batch[];
  running_batches: number;
}
