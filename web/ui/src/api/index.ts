// Every path of API v1 that the page uses, one function each.
import { ask, addressOf } from "./http";
import type * as T from "./types";

export * from "./http";
export type * from "./types";

const name = encodeURIComponent;
const id = (value: number | string) => encodeURIComponent(String(value));

export const api = {
  signIn: (credential: { code: string } | { token: string } | { user: string; password: string }) => ask<null>("POST", "session", { body: credential }),
  signOut: () => ask<null>("DELETE", "session"),
  me: () => ask<T.Me>("GET", "me"),
  server: () => ask<T.ServerFacts>("GET", "server"),
  home: (window_s: number) => ask<T.Home>("GET", "home", { query: { window_s } }),
  summary: (query: { job_type?: string; batch?: string; by_batch?: boolean; percentiles?: boolean } = {}) => ask<{ summary: T.Summary[] }>("GET", "summary", { query }),

  jobs: (query: Record<string, string>) => ask<T.JobPage>("GET", "jobs", { query }),
  job: (job: number) => ask<T.JobDetail>("GET", `jobs/${id(job)}`),
  attempts: (job: number) => ask<{ attempts: T.Attempt[] }>("GET", `jobs/${id(job)}/attempts`),
  log: (job: number, query: { attempt?: number; stream: string; offset?: number; limit?: number }) => ask<T.LogPart>("GET", `jobs/${id(job)}/log`, { query }),
  bulk: (body: T.BulkRequest) => ask<T.BulkAnswer>("POST", "jobs/bulk", { body, timeoutMs: 60_000 }),
  submit: (body: T.Submission, key: string) => ask<T.Submitted>("POST", "jobs", { body, timeoutMs: 60_000, headers: { "Idempotency-Key": key } }),

  operations: () => ask<{ operations: T.Operation[] }>("GET", "operations"),
  operation: (operation: number) => ask<T.Operation>("GET", `operations/${id(operation)}`),
  stopOperation: (operation: number) => ask<T.Operation>("POST", `operations/${id(operation)}/stop`),

  machines: () => ask<{ machines: T.Machine[] }>("GET", "machines"),
  changeMachine: (machine: string, body: T.MachineChanges) => ask<unknown>("PATCH", `machines/${name(machine)}`, { body }),
  addMachine: (body: Record<string, unknown>) => ask<T.Command>("POST", "machines", { body, timeoutMs: 60_000 }),
  machineCommand: (machine: string, command: string, body?: Record<string, unknown>) =>
    ask<T.Command>("POST", `machines/${name(machine)}/${command}`, { ...(body ? { body } : {}), timeoutMs: 60_000 }),
  command: (command: number, query: { wait_s?: number; seen?: number } = {}) => ask<T.Command>("GET", `commands/${id(command)}`, { query, timeoutMs: 40_000 }),
  doctor: () => ask<T.Command>("POST", "server/doctor"),

  jobTypes: () => ask<{ job_types: T.Version[] }>("GET", "job_types"),
  jobType: (type: string) => ask<{ job_type: string; version: number; versions: T.Version[] }>("GET", `job_types/${name(type)}`),
  version: (type: string, version: number) => ask<T.Version>("GET", `job_types/${name(type)}/versions/${id(version)}`),
  diff: (type: string, version: number, against: number) =>
    ask<T.VersionDiff>("GET", `job_types/${name(type)}/versions/${id(version)}/diff`, { query: { against } }),
  rollback: (type: string, version: number) => ask<T.Published>("POST", `job_types/${name(type)}/rollback`, { body: { version } }),
  register: (type: string) => ask<T.Published>("POST", `job_types/${name(type)}/register`),
  upload: (type: string, zip: Blob) => ask<T.Published>("POST", `job_types/${name(type)}/versions`, { raw: zip, timeoutMs: 300_000 }),
  zipAddress: (type: string, version: number) => addressOf(`job_types/${name(type)}/versions/${id(version)}/zip`),
  signature: (type: string) => ask<T.Signature>("GET", `job_types/${name(type)}/signature`),
  folders: () => ask<{ data: { job_type: string[] } }>("GET", "../../job_file/check_jobs_dir").then((found) => found.data.job_type),
  deleteJobType: (type: string) => ask<null>("DELETE", `job_types/${name(type)}`),

  failures: (query: { since?: number; until?: number; job_type?: string }) => ask<{ groups: T.FailureGroup[] }>("GET", "failures", { query }),
  failure: (fingerprint: string) => ask<T.FailureGroup>("GET", `failures/${name(fingerprint)}`),
  mute: (fingerprint: string, muted: boolean) => ask<unknown>("POST", `failures/${name(fingerprint)}/mute`, { body: { until_next_version: muted } }),

  batches: (query: { size?: number; after?: string | number; q?: string }) =>
    ask<{ batches: T.Batch[]; next?: string | number | null }>("GET", "batches", { query }),
  batch: (batch: string) => ask<T.Batch>("GET", `batches/${batch.split("/").map(name).join("/")}`),

  timeline: (query: { since: number; until: number; machine_id?: string }) => ask<T.Timeline>("GET", "timeline", { query }),
  activity: (query: { after?: string | number; size?: number }) =>
    ask<{ activity: T.AuditRow[]; next?: string | number | null }>("GET", "activity", { query }),

  tokens: () => ask<{ tokens: T.Token[] }>("GET", "tokens"),
  createToken: (body: { name: string; scopes: string[]; lifetime_s?: number }) =>
    ask<{ name: string; token: string; expires_at: number | null }>("POST", "tokens", { body }),
  users: () => ask<{ users: T.User[] }>("GET", "users"),
  createUser: (body: { name: string; password: string; scopes: string[] }) => ask<T.User>("POST", "users", { body }),
  changeUser: (user: string, body: { password?: string; scopes?: string[] }) => ask<T.User>("PATCH", `users/${name(user)}`, { body }),
  removeUser: (user: string) => ask<null>("DELETE", `users/${name(user)}`),
  changePassword: (old: string, fresh: string) => ask<null>("POST", "me/password", { body: { old, new: fresh } }),
  revokeToken: (token: string) => ask<null>("DELETE", `tokens/${name(token)}`),
};
