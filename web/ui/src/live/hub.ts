// What changed, as it changes: server-sent events, or polling where they are not to be had. Always says which.
// A hidden tab disconnects; every list that shows something asks again when a kind it depends on has changed.
import { reactive } from "vue";
import { Problem, onAnswer } from "@/api";
import { askServer } from "@/state/session";

export const KINDS = ["jobs", "machine", "operation", "inventory", "log"] as const;
export type Kind = (typeof KINDS)[number];
export type Mode = "off" | "connecting" | "events" | "polling";

export interface LiveEvent {
  kind: Kind;
  data: Record<string, unknown>;
}

const POLL_MS = 5000;
const HEARTBEAT_MS = 10_000;
const STALE_MS = 15_000;
const RETRY_EVENTS_MS = 60_000;

interface Live {
  mode: Mode;
  /** When the server last answered, in browser milliseconds. */
  answeredAt: number;
  failing: boolean;
  /** Ticks, so that staleness shows without anything happening. */
  clock: number;
}

export const live = reactive<Live>({ mode: "off", answeredAt: 0, failing: false, clock: Date.now() });

export type Freshness = "live" | "connecting" | "stale";

export function freshness(): Freshness {
  if (live.answeredAt === 0) return live.failing ? "stale" : "connecting";
  const age = live.clock - live.answeredAt;
  if (live.failing || age > STALE_MS) return age > STALE_MS ? "stale" : "connecting";
  return live.mode === "connecting" ? "connecting" : "live";
}

type Listener = (event: LiveEvent | null) => void;
const listeners = new Map<Listener, ReadonlySet<Kind>>();

/** Hear of events of these kinds, and of each round of polling (null). Answers how to stop. */
export function listen(kinds: readonly Kind[], listener: Listener): () => void {
  listeners.set(listener, new Set(kinds));
  return () => listeners.delete(listener);
}

function tell(event: LiveEvent | null): void {
  for (const [listener, kinds] of listeners) if (event === null || kinds.has(event.kind)) listener(event);
}

let source: EventSource | null = null;
let heartbeat: ReturnType<typeof setInterval> | undefined;
let polling: ReturnType<typeof setInterval> | undefined;
let retry: ReturnType<typeof setTimeout> | undefined;
let running = false;

export function start(): void {
  if (running) return;
  running = true;
  connect();
  heartbeat = setInterval(beat, HEARTBEAT_MS);
  beat();
}

export function stop(): void {
  running = false;
  disconnect();
  clearInterval(heartbeat);
  live.mode = "off";
}

function beat(): void {
  live.clock = Date.now();
  if (!document.hidden) askServer().catch(() => null);
}

function connect(): void {
  disconnect();
  if (!running || document.hidden) return;
  live.mode = "connecting";
  const opened = new EventSource("api/v1/events");
  source = opened;
  opened.onopen = () => {
    live.mode = "events";
    clearInterval(polling);
    answered();
    tell(null);
  };
  for (const kind of KINDS) opened.addEventListener(kind, (event) => take(kind, event));
  opened.onmessage = (event) => take(null, event);
  opened.onerror = () => {
    if (opened.readyState === EventSource.CLOSED) poll();
    else if (live.mode === "events") live.mode = "connecting";
  };
}

function take(kind: Kind | null, event: MessageEvent<string>): void {
  answered();
  let data: Record<string, unknown> = {};
  try {
    data = JSON.parse(event.data) as Record<string, unknown>;
  } catch {
    // An event without a body still says that something changed.
  }
  const said = kind ?? (KINDS.find((one) => one === data.kind) as Kind | undefined);
  if (said) tell({ kind: said, data });
}

/** No stream to be had (not offered, or too many of them): ask every few seconds, and try the stream again later. */
function poll(): void {
  disconnect();
  if (!running || document.hidden) return;
  live.mode = "polling";
  tell(null);
  polling = setInterval(() => tell(null), POLL_MS);
  retry = setTimeout(connect, RETRY_EVENTS_MS);
}

function disconnect(): void {
  source?.close();
  source = null;
  clearInterval(polling);
  clearTimeout(retry);
}

function answered(): void {
  live.answeredAt = live.clock = Date.now();
  live.failing = false;
}

onAnswer((problem: Problem | null) => {
  if (problem === null || problem.status !== 0) answered();
  else live.failing = true;
});

document.addEventListener("visibilitychange", () => {
  if (!running) return;
  if (document.hidden) disconnect();
  else {
    connect();
    beat();
    tell(null);
  }
});

setInterval(() => {
  live.clock = Date.now();
}, 1000);
