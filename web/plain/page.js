// The plain page: sign in, then machines, totals and the latest jobs, asked for again every two seconds.
// Everything shown was written by someone else: it only ever becomes text, never markup.
"use strict";

const POLL_MS = 2000;
const STALE_MS = 3 * POLL_MS;
const LATEST = 30;
const STATUS = { 0: "waiting", 1: "running", 2: "returning", 3: "done", "-1": "failed", "-2": "return_failed" };
const ICON = { waiting: "◷", assigned: "▷", running: "▶", returning: "↩", done: "✓", failed: "✕", return_failed: "✕" };
const TONE = {
  ready: "done", connecting: "running", paused: "waiting", draining: "waiting", closed: "",
  unreachable: "failed", untrusted: "failed", refused: "failed", unfit: "failed",
};

const page = { csrf: null, seenAt: null, failure: null, timer: null, asking: false };

const $ = (id) => document.getElementById(id);

/** An element with a class and, inside, text or other elements. */
function make(tag, className, ...inside) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...inside.map((part) => (part instanceof Node ? part : String(part))));
  return element;
}

// ------------------------------------------------------------------------------------------------- asking the server

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(method, path, body) {
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (page.csrf) headers["X-MJ-CSRF"] = page.csrf;
  const response = await fetch(path, {
    method, headers, body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store", signal: AbortSignal.timeout(10_000),
  });
  const text = await response.text();
  if (!response.ok) throw new Refused(response.status, messageOf(text) || response.statusText);
  return text ? JSON.parse(text) : null;
}

function messageOf(text) {
  try {
    return JSON.parse(text).error.message;
  } catch {
    return "";
  }
}

// --------------------------------------------------------------------------------------------------------- signing in

/** A one-time code rides in the fragment, which no server and no log ever sees. It is taken out of the address at once. */
function codeOfFragment() {
  const code = new URLSearchParams(location.hash.replace(/^#\/?\??/, "")).get("code");
  if (code) history.replaceState(null, "", location.pathname);
  return code;
}

async function signIn(credential) {
  try {
    await ask("POST", "api/v1/session", credential);
    await enter();
  } catch (error) {
    showSignIn(error);
  }
}

async function enter() {
  const me = await ask("GET", "api/v1/me");
  page.csrf = me.csrf;
  $("sign-in").hidden = true;
  $("overview").hidden = false;
  $("sign-out").hidden = me.csrf === null;
  await refresh();
}

async function signOut() {
  await ask("DELETE", "api/v1/session").catch(() => {});
  showSignIn(null);
}

function showSignIn(error) {
  clearTimeout(page.timer);
  Object.assign(page, { csrf: null, seenAt: null, failure: null });
  $("overview").hidden = true;
  $("sign-out").hidden = true;
  $("sign-in").hidden = false;
  $("freshness").className = "";
  $("freshness-text").textContent = "";
  $("server-facts").textContent = "";
  document.body.className = "";
  $("sign-in-error").hidden = error === null;
  $("sign-in-error").textContent = error === null ? "" : whyNot(error);
  $("token").value = "";
  $("token").focus();
}

function whyNot(error) {
  if (error instanceof Refused && error.status === 401) return word("sign_in_refused");
  if (error instanceof Refused && error.status === 429) return word("sign_in_busy");
  return error instanceof Refused ? error.message : word("no_answer");
}

// --------------------------------------------------------------------------------------------------------- refreshing

async function refresh() {
  if (page.asking || document.hidden || $("overview").hidden) return;
  page.asking = true;
  clearTimeout(page.timer);
  try {
    const [server, summary, machines, jobs] = await Promise.all(
      ["server", "summary", "machines", `jobs?size=${LATEST}`].map((path) => ask("GET", `api/v1/${path}`)),
    );
    show(server, summary.summary, machines.machines, jobs.jobs);
    Object.assign(page, { seenAt: Date.now(), failure: null });
  } catch (error) {
    if (error instanceof Refused && error.status === 401) return showSignIn(null);
    page.failure = error instanceof Refused ? error.message : word("no_answer");
  } finally {
    page.asking = false;
  }
  showFreshness();
  page.timer = setTimeout(refresh, POLL_MS);
}

function show(server, summary, machines, jobs) {
  showFacts(server);
  showProblems(server.inventory_problems);
  showTotals(summary);
  showMachines(machines, server.now);
  showJobs(jobs, server.now);
}

/** A page that cannot ask must not look healthy. */
function showFreshness() {
  if ($("overview").hidden) return;
  const age = page.seenAt === null ? null : Date.now() - page.seenAt;
  const stale = page.failure !== null || (age !== null && age > STALE_MS);
  const state = stale ? "stale" : age === null ? "" : "live";
  $("freshness").className = state;
  document.body.className = state;
  $("freshness-text").textContent = stale ? staleness(age) : word(age === null ? "connecting" : "live");
}

function staleness(age) {
  const seen = age === null ? "" : `${word("stale")} ${ago(age / 1000)}`;
  return [seen, page.failure].filter(Boolean).join(" · ");
}

// ------------------------------------------------------------------------------------------------------------ showing

function showFacts(server) {
  const version = server.version ? `Multi Job ${server.version} · ` : "";
  $("server-facts").textContent = `${version}${word("up_for")} ${span(server.uptime_s)}`;
}

function showProblems(problems) {
  $("problems").hidden = problems.length === 0;
  $("problem-list").replaceChildren(...problems.map((problem) => {
    const where = [problem.file, problem.line, problem.where].filter(Boolean).join(":");
    return make("li", "", [where, problem.message, problem.remedy].filter(Boolean).join(" — "));
  }));
}

function showTotals(summary) {
  const sum = (...statuses) => summary.reduce((all, one) => all + statuses.reduce((n, s) => n + (one.jobs[s] || 0), 0), 0);
  $("total-done").textContent = sum("3").toLocaleString();
  $("total-running").textContent = sum("1", "2").toLocaleString();
  $("total-waiting").textContent = sum("0").toLocaleString();
  $("total-failed").textContent = sum("-1", "-2").toLocaleString();
}

function showMachines(machines, now) {
  const troubledFirst = (machine) => (TONE[machine.state] === "failed" ? 0 : 1);
  machines.sort((a, b) => troubledFirst(a) - troubledFirst(b));
  $("no-machines").hidden = machines.length > 0;
  $("machines").replaceChildren(...machines.map((machine) => machineCard(machine, now)));
}

function machineCard(machine, now) {
  const card = make("article", `machine ${TONE[machine.state] || ""}`);
  const name = make("span", "", machine.name || machine.machine_id);
  name.title = machine.machine_id;
  card.append(make("h3", "", name, make("span", "state", word(`state_${machine.state}`))));
  card.append(make("p", "", [machine.machine_id, machine.address, machine.platform].filter(Boolean).join(" · ")));
  if (machine.tags.length) card.append(make("p", "", `${word("tags")}: ${machine.tags.join(", ")}`));
  if (machine.text) card.append(make("p", TONE[machine.state] === "failed" ? "trouble" : "", machine.text));
  if (machine.fingerprint) card.append(make("p", "", machine.fingerprint));
  card.append(gauges(machine), make("p", "", contact(machine, now)));
  return card;
}

function gauges(machine) {
  const box = make("div", "gauges");
  const waiting = machine.assigned > machine.running ? ` (+${machine.assigned - machine.running})` : "";
  gauge(box, "slots", machine.running, machine.limit_process, `${machine.running} / ${machine.limit_process}${waiting}`);
  if (machine.cpu_ratio !== null) gauge(box, "cpu", machine.cpu_ratio, 1, `${Math.round(machine.cpu_ratio * 100)} %`);
  used(box, "memory", machine.memory_used_mb, machine.memory_free_mb);
  used(box, "disk", machine.disk_used_mb, machine.disk_free_mb);
  return box;
}

function used(box, label, usedMb, freeMb) {
  if (usedMb === null || freeMb === null) return;
  gauge(box, label, usedMb, usedMb + freeMb, `${size(usedMb)} / ${size(usedMb + freeMb)}`);
}

function gauge(box, label, value, most, text) {
  const bar = make("progress", "");
  bar.max = most || 1;
  bar.value = Math.min(value, most);
  bar.setAttribute("aria-label", word(label));
  box.append(make("span", "", word(label)), bar, make("b", "", text));
}

function contact(machine, now) {
  return machine.contact_at === null ? word("no_contact") : `${word("contact")}: ${ago(now - machine.contact_at)}`;
}

function showJobs(jobs, now) {
  $("job-table").hidden = jobs.length === 0;
  $("no-jobs").hidden = jobs.length > 0;
  $("jobs").replaceChildren(...jobs.map((job) => jobRow(job, now)));
}

function jobRow(job, now) {
  const row = make("tr", "");
  const cell = (label, content, className = "") => {
    const data = make("td", className, content);
    data.dataset.label = word(label);
    row.append(data);
    return data;
  };
  cell("id", job.id, "number");
  cell("status", badge(job));
  cell("job_type", job.version < 0 ? job.job_type : `${job.job_type}@${job.version}`);
  cell("batch", job.batch);
  cell("machine", job.machine_id);
  cell("attempt", job.attempt || "", "number");
  cell("duration", duration(job, now), "number");
  cell("created", ago(now - job.created_at), "number").title = exact(job.created_at);
  cell("remark", remark(job), "remark");
  return row;
}

/** Sent to a machine is not yet running there. */
function badge(job) {
  const state = STATUS[job.status] === "running" && job.started_at === null ? "assigned" : STATUS[job.status];
  const element = make("span", `badge ${state}`, word(state));
  element.dataset.icon = ICON[state];
  return element;
}

function duration(job, now) {
  if (job.status === 1) return job.started_at === null ? "" : span(now - job.started_at);
  return job.status === 0 ? "" : span(job.spend_s);
}

function remark(job) {
  const words = [job.reason];
  if (job.kill_requested && job.status === 1) words.push(word("stopping"));
  if (job.unreachable) words.push(word("unreachable"));
  if (job.tag) words.push(`${word("tags")}: ${job.tag}`);
  return words.filter(Boolean).join(" · ");
}

// -------------------------------------------------------------------------------------------------- numbers into words

function span(seconds) {
  if (seconds < 1) return `${seconds.toFixed(2)} ${word("second")}`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} ${word("second")}`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} ${word("minute")} ${Math.floor(seconds % 60)} ${word("second")}`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} ${word("hour")} ${Math.floor((seconds % 3600) / 60)} ${word("minute")}`;
  return `${Math.floor(seconds / 86400)} ${word("day")} ${Math.floor((seconds % 86400) / 3600)} ${word("hour")}`;
}

function ago(seconds) {
  if (seconds < 1) return word("just_now");
  const [step, unit] = seconds < 60 ? [1, "second"] : seconds < 3600 ? [60, "minute"] : seconds < 86400 ? [3600, "hour"] : [86400, "day"];
  return `${Math.floor(seconds / step)} ${word(unit)} ${word("ago")}`;
}

function exact(seconds) {
  const time = new Date(seconds * 1000);
  return `${time.toLocaleString()} (${time.toISOString()})`;
}

function size(mb) {
  return mb < 1024 ? `${mb} MB` : `${(mb / 1024).toFixed(mb < 10240 ? 1 : 0)} GB`;
}

// ----------------------------------------------------------------------------------------------------------- beginning

function translate() {
  document.documentElement.lang = LANGUAGE;
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = word(element.dataset.word);
}

async function begin() {
  translate();
  $("sign-in-form").addEventListener("submit", (event) => {
    event.preventDefault();
    signIn({ token: $("token").value.trim() });
  });
  $("sign-out").addEventListener("click", signOut);
  document.addEventListener("visibilitychange", refresh);
  setInterval(showFreshness, 1000);
  const code = codeOfFragment();
  if (code) return signIn({ code });
  return enter().catch((error) => showSignIn(error instanceof Refused && error.status === 401 ? null : error));
}

begin();
