// One way to ask the server: JSON in and out, the session's mark on changes, every failure a Problem.
// Addresses are relative, so that the page works below any path prefix.

export interface ProblemFacts {
  status: number;
  code: string;
  message: string;
  field?: string | null;
  requestId?: string | null;
}

/** The server answered with an error, or (status 0) did not answer. */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly field: string | null;
  readonly requestId: string | null;

  constructor(facts: ProblemFacts) {
    super(facts.message);
    this.status = facts.status;
    this.code = facts.code;
    this.field = facts.field ?? null;
    this.requestId = facts.requestId ?? null;
  }
}

type Listener = (problem: Problem | null) => void;

let csrf: string | null = null;
const listeners: Listener[] = [];

/** What the page must send along with changes; null when there is no session. */
export function setCsrf(value: string | null): void {
  csrf = value;
}

/** Hear of every answer: null for a good one, else the problem. */
export function onAnswer(listener: Listener): void {
  listeners.push(listener);
}

function tell(problem: Problem | null): void {
  for (const listener of listeners) listener(problem);
}

const TIMEOUT_MS = 15_000;
const PREFIX = "api/v1/";

export interface Asking {
  body?: unknown;
  raw?: Blob;
  query?: Record<string, string | number | boolean | null | undefined>;
  timeoutMs?: number;
  headers?: Record<string, string>;
}

export function addressOf(path: string, query: Asking["query"] = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(given.map(([key, value]) => [key, String(value)])).toString();
  return PREFIX + path + (text ? `?${text}` : "");
}

/** The answer's body, decoded. Throws Problem. */
export async function ask<T>(method: string, path: string, asking: Asking = {}): Promise<T> {
  try {
    const response = await send(method, path, asking);
    const text = await response.text();
    if (!response.ok) throw problemOf(response, text);
    tell(null);
    return (text ? JSON.parse(text) : null) as T;
  } catch (error) {
    const problem = error instanceof Problem ? error : unanswered(error);
    tell(problem);
    throw problem;
  }
}

function send(method: string, path: string, asking: Asking): Promise<Response> {
  const headers: Record<string, string> = { Accept: "application/json", ...asking.headers };
  if (csrf) headers["X-MJ-CSRF"] = csrf;
  let body: BodyInit | undefined;
  if (asking.raw) {
    headers["Content-Type"] = asking.raw.type || "application/zip";
    body = asking.raw;
  } else if (asking.body !== undefined) {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify(asking.body);
  }
  const signal = AbortSignal.timeout(asking.timeoutMs ?? TIMEOUT_MS);
  return fetch(addressOf(path, asking.query), { method, headers, body, cache: "no-store", signal });
}

function problemOf(response: Response, text: string): Problem {
  const requestId = response.headers.get("X-Request-Id");
  try {
    const error = JSON.parse(text).error as { code: string; message: string; field?: string };
    return new Problem({ status: response.status, code: error.code, message: error.message, field: error.field, requestId });
  } catch {
    return new Problem({ status: response.status, code: "error", message: response.statusText || `HTTP ${response.status}`, requestId });
  }
}

function unanswered(error: unknown): Problem {
  const slow = error instanceof DOMException && error.name === "TimeoutError";
  return new Problem({ status: 0, code: slow ? "slow" : "no_answer", message: String(error) });
}

/** Whether this part of the server does not exist (yet): shown as a quiet note, not as a failure. */
export function isMissing(error: unknown): boolean {
  return error instanceof Problem && error.code === "not_found" && (error.status === 404 || error.status === 405);
}
