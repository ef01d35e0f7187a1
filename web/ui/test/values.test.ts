import { expect, test } from "vitest";
import { summed } from "../src/lib/batches";
import { bundleOf, markdown, mimesOf, shownOf } from "../src/lib/display";
import { cellOf } from "../src/lib/cells";
import * as format from "../src/lib/format";
import { slicesOf } from "../src/lib/home";
import { grown, logFrom, logOf, piece, plain, preceded, withoutLinks } from "../src/lib/log";
import { rangesOf } from "../src/lib/exporting";
import { reportOf } from "../src/lib/report";
import { callFrom, callOf, remoteCommand, toPython, type Reach } from "../src/lib/snippets";
import { mediansOf, speedOf } from "../src/lib/speed";
import { durationOf, shownStatus, totalsOf } from "../src/lib/status";
import { inputsOf, parseCsv, Unreadable } from "../src/lib/table";
import { heatOfBars, laneOut, ticks } from "../src/lib/timeline";
import { headline, parseTraceback } from "../src/lib/traceback";
import { crc32, pathsOf, zipOf } from "../src/lib/zip";

const t: format.Translate = (key, values) => (key === "time.ago" ? `${String(values?.span)} ago` : (key.split(".")[1] ?? key));

test("durations", () => {
  const said = [0, 0.0001, 0.25, 1, 9.96, 59.9, 61, 3600, 7260, 90_000].map((one) => format.span(one, t));
  expect(said).toEqual(["0 s", "<1 ms", "250 ms", "1 s", "10 s", "59 s", "1 min 1 s", "1 h", "2 h 1 min", "1 d 1 h"]);
  expect(format.span(null, t)).toBe("–");
});

test("ages, sizes, rates", () => {
  expect([1, 59, 61, 3601, 90_000].map((one) => format.ago(one, t))).toEqual(["just_now", "59 s ago", "1 min ago", "1 h ago", "1 d ago"]);
  expect([0, 1023, 1536, 20 * 1024 ** 3].map(format.bytes)).toEqual(["0 B", "1023 B", "1.5 KB", "20 GB"]);
  expect([0, 12, 1.25, 0.5, 0.001].map((one) => format.rate(one, t))).toEqual(["–", "12/s", "1.3/s", "30/min", "3.6/h"]);
  expect(format.short(999_999, "en")).toBe("999,999");
  expect(format.short(1_234_567, "en")).toBe("1.23M");
});

test("sent to a machine is not yet running", () => {
  expect(shownStatus({ status: 1, started_at: null })).toBe("assigned");
  expect(durationOf({ status: 1, started_at: 90, spend_s: 0 }, 100)).toBe(10);
  expect(durationOf({ status: 0, started_at: null, spend_s: 0 }, 100)).toBeNull();
  expect(totalsOf([{ jobs: { "3": 2, "-1": 1, "-2": 1, "2": 4, "0": 5 } }])).toEqual({ done: 2, running: 4, waiting: 5, failed: 2 });
});

test("a traceback shows whose frames are whose", () => {
  const text = 'noise\nTraceback (most recent call last):\n  File "/srv/x/main.py", line 3, in work\n    go()\n  File "/usr/lib/python3/site-packages/requests/api.py", line 9, in get\n    raise\nValueError: <b>bad</b>\nsecond line';
  const found = parseTraceback(text);
  expect(found?.frames.map((frame) => [frame.line, frame.own])).toEqual([[3, true], [9, false]]);
  expect(found?.last).toBe("ValueError: <b>bad</b>\nsecond line");
  expect(found?.before).toBe("noise");
  expect(headline(text)).toBe("ValueError: <b>bad</b>");
  expect(parseTraceback("killed")).toBeNull();
  expect(headline("killed\n")).toBe("killed");
});

test("CSV and JSON Lines become inputs", () => {
  expect(parseCsv('a,"b ""x"", y"\r\n1,"two\nlines"\n')).toEqual([["a", 'b "x", y'], ["1", "two\nlines"]]);
  expect(inputsOf("x.csv", "\uFEFFx,y\n1,hello\n")).toEqual([{ args: [], kwargs: { x: 1, y: "hello" } }]);
  expect(inputsOf("x.jsonl", '{"x": 1}\n\n[1, 2]\n')).toEqual([{ args: [], kwargs: { x: 1 } }, { args: [1, 2], kwargs: {} }]);
  expect(() => inputsOf("x.csv", "x\n1,2\n")).toThrow(Unreadable);
  expect(() => parseCsv('"open')).toThrow("unclosed_quote");
  expect(() => inputsOf("x.jsonl", "{")).toThrow("not_json");
});

test("a log says what is not kept, and terminals' commands are taken out", () => {
  expect(logOf({ head: "a\nb\n", tail: "c\n", total: 6 }).lines.map((line) => line.number)).toEqual([1, 2, 3]);
  const cut = logOf({ head: "a\n", tail: "z: error\n", total: 100 });
  expect(cut.missing).toBe(89);
  expect(cut.lines.map((line) => [line.number, line.error])).toEqual([[1, false], [null, false], [2, true]]);
  expect(logOf({ head: "10%\r50%\r100%\n", tail: "" }).lines[0]?.text).toBe("100%");
  expect(plain("\u001b[31mred\u001b[0m")).toBe("red");
  expect(withoutLinks("\u001b]8;;http://evil/\u0007here\u001b]8;;\u0007")).toBe("here");
});

test("a log that grows keeps its newest lines and says what is before them", () => {
  let pieces = grown([], piece(0, "a\nb"), 100);
  pieces = grown(pieces, piece(3, "c\nd\n"), 100);
  expect(logFrom(pieces, 7).lines.map((line) => [line.at, line.number, line.text])).toEqual([[0, 1, "a"], [2, 2, "bc"], [5, 3, "d"]]);
  const cut = grown(pieces, piece(7, "é\n"), 5);
  expect(cut).toEqual([{ offset: 5, text: "d\né\n", bytes: 5 }]);
  expect(logFrom(cut, 10).lines.map((line) => line.number)).toEqual([null, null]);
  expect(logFrom(preceded(cut, piece(0, "a\nbc\n")), 10).lines.map((line) => line.number)).toEqual([1, 2, 3, 4]);
  const hole = grown(cut, piece(20, "z\n"), 100);
  expect(logFrom(hole, 22).lines.map((line) => line.gap)).toEqual([0, 0, 10, 0]);
});

test("ids as ranges", () => {
  expect(rangesOf([5, 3, 4, 9, 10, 1])).toEqual([[1, 1], [3, 5], [9, 10]]);
});

test("a report is text only", () => {
  const evil = "<script>alert(1)</script>";
  const html = reportOf({ name: evil, made: "now", jobs: { done: 1, failed: 1 }, facts: [["p50", evil]], machines: [{ machine: evil, jobs: 1, mean: "1 s", share: 1 }], rows: [{ id: 1, status: "failed", machine_id: evil, spend_s: 1, error: evil }], total: 1 }, (key) => key);
  expect(html).not.toMatch(/<script/i);
  expect(html).toContain("&lt;script&gt;");
});

test("a call as Python", () => {
  expect(toPython({ a: [true, null, "it's\n"] })).toBe('{"a": [True, None, "it\'s\\n"]}');
  expect(callOf([1], { x: "y", "odd name": 2 })).toBe('1, x="y", **{"odd name": 2}');
  expect(callFrom(null)).toEqual({ args: [], kwargs: {} });
});

test("display bundles: the richest first, pictures only as pictures, text as text", () => {
  const bundle = bundleOf({ display: { "text/csv": "a,b", "image/svg+xml": "<svg onload=alert(1)>", other: 1 } });
  expect(mimesOf(bundle ?? {})).toEqual(["image/svg+xml", "text/csv"]);
  expect(shownOf("image/svg+xml", "<svg>#\"", parseCsv)).toMatchObject({ kind: "image", url: "data:image/svg+xml;charset=utf-8,%3Csvg%3E%23%22" });
  expect(shownOf("image/png", "javascript:alert(1)", parseCsv).kind).toBe("text");
  expect(bundleOf({ display: "text" })).toBeNull();
  expect(bundleOf([1])).toBeNull();
});

test("Markdown is escaped before anything else", () => {
  const html = markdown("# <script>\n\n- **b** `<i>`\n\n| a | b |\n|---|---|\n| 1 | <img src=x> |\n\n```\n<x>\n```\n");
  expect(html).not.toMatch(/<script|<img|<x>/);
  expect(html).toContain("<h1>");
  expect(html).toContain("<li><b>b</b> <code>");
  expect(html).toContain("<table><tr><th>a</th>");
});

test("bars that overlap stand in lanes of their own", () => {
  const bar = (job_id: number, begin_at: number, end_at: number | null) => ({ machine_id: "m", job_id, attempt: 1, job_type: "t", status: 3, begin_at, end_at });
  const found = laneOut([bar(1, 0, 5), bar(2, 1, 3), bar(3, 3, 9), bar(4, 6, null)], 10);
  expect(found.placed.map((one) => [one.bar.job_id, one.lane])).toEqual([[1, 0], [2, 1], [3, 1], [4, 0]]);
  const heat = heatOfBars([bar(1, 0, 5), bar(2, 5, 10)], 0, 10, 2, 10);
  expect(heat.cells[0]?.map((cell) => cell.busy)).toEqual([1, 1]);
  expect(ticks(0, 600, 6).map((tick) => tick.at)).toEqual([0, 120, 240, 360, 480, 600]);
});

test("hours without jobs are there too", () => {
  const rows = [{ at: 7200, job_type: "t", status: 3 as const, jobs: 2, count: 4, spend_s: 1 }, { at: 7200, job_type: "t", status: -2 as const, jobs: 1, count: 0, spend_s: 1 }];
  const jobs = { waiting: 0, running: 0, returning: 0, done: 0, failed: 0, return_failed: 0 };
  const found = slicesOf({ now: 11_000, hours: rows, took: [{ at: 7200, p50_s: 1, p95_s: 2 }], window: { jobs, count: 0, spend_s: 0, first_at: 3600 } });
  expect(found.map((slice) => [slice.at, slice.done, slice.failed, slice.p50_s])).toEqual([[3600, 0, 0, null], [7200, 2, 1, 1], [10_800, 0, 0, null]]);
});

test("batches are summed up over job types", () => {
  const row = { job_type: "t", batch: "b", count: 0, spend_s: 0, tag: "", begin_at: 5, updated_at: 9 };
  expect(summed([{ ...row, jobs: { "3": 1 } }, { ...row, job_type: "u", jobs: { "3": 2, "-1": 1 }, begin_at: 1 }])).toMatchObject([{ batch: "b", begin_at: 1, jobs: { done: 3, failed: 1 } }]);
});

test("no cell becomes a formula", () => {
  expect(["=1+1", "a,b", 'say "x"', -1, null].map(cellOf)).toEqual(["'=1+1", '"a,b"', '"say ""x"""', "-1", ""]);
});

test("a folder as a zip", async () => {
  expect(crc32(new TextEncoder().encode("123456789"))).toBe(0xcbf43926);
  expect(pathsOf(["a/main.py", "a/__pycache__/x.pyc", "a/sub/data.txt", "a/.git/config"].map((path) => ({ webkitRelativePath: path })))).toEqual(["main.py", "", "sub/data.txt", ""]);
  const bytes = new Uint8Array(await zipOf([{ path: "main.py", data: new TextEncoder().encode("x = 1\n") }]).arrayBuffer());
  expect([...bytes.slice(0, 4)]).toEqual([0x50, 0x4b, 3, 4]);
});

test("the command on a machine follows the inventory", () => {
  const plain: Reach = { address: "10.0.0.5", user: null, port: null, gateway: null, root: "~/.multijob", interpreter: "" };
  const call = { args: [1], kwargs: {} };
  const run = `-B -c 'from main import work; print(work(1))'`;
  expect(remoteCommand(plain, "s1", "versions/a/0-1", call)).toBe(`ssh 10.0.0.5\ncd ~/.multijob/s1/versions/a/0-1\npython3 ${run}`);
  const given: Reach = { address: "lab", user: "me", port: 2222, gateway: "bastion", root: "/data/my jobs/", interpreter: "/opt/py/bin/python3" };
  expect(remoteCommand(given, "s1", "versions/a/0-1", call)).toBe(`ssh -J bastion -p 2222 me@lab\ncd '/data/my jobs/s1/versions/a/0-1'\n/opt/py/bin/python3 ${run}`);
  expect(remoteCommand({ ...plain, address: "local", root: "~/it's" }, "s1", "v", call)).toBe(`cd ~/'it'"'"'s/s1/v'\npython3 ${run}`);
});

test("speed is measured against the median of each type", () => {
  const medians = mediansOf([{ job_type: "a", p50_s: 2 }, { job_type: "b", p50_s: null }] as Parameters<typeof mediansOf>[0]);
  const jobs = [1, 3, 8].map((spend_s) => ({ job_type: "a", status: 3, spend_s }));
  const others = [{ job_type: "a", status: -1, spend_s: 99 }, { job_type: "b", status: 3, spend_s: 5 }];
  expect(speedOf([...jobs, ...others] as Parameters<typeof speedOf>[0], medians)).toEqual({ times: 1.5, jobs: 3 });
  expect(speedOf(others as Parameters<typeof speedOf>[0], medians)).toBeNull();
});
