// A job's call written as Python, to run it where somebody can look into it. Pure.
import type { Machine } from "@/api";
import { quoted } from "./filters";

export function toPython(value: unknown): string {
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "number") return String(value);
  if (typeof value === "string") return JSON.stringify(value).replace(/[\u2028\u2029]/g, (char) => `\\u${char.charCodeAt(0).toString(16)}`);
  if (Array.isArray(value)) return `[${value.map(toPython).join(", ")}]`;
  return `{${Object.entries(value as object).map(([key, one]) => `${JSON.stringify(key)}: ${toPython(one)}`).join(", ")}}`;
}

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** The arguments of a call: named ones that are no names in Python go in by "**". */
export function callOf(args: unknown[], kwargs: Record<string, unknown>): string {
  const named = Object.entries(kwargs).filter(([key]) => NAME.test(key)).map(([key, value]) => `${key}=${toPython(value)}`);
  const odd = Object.entries(kwargs).filter(([key]) => !NAME.test(key));
  return [...args.map(toPython), ...named, ...(odd.length ? [`**${toPython(Object.fromEntries(odd))}`] : [])].join(", ");
}

export interface Call {
  args: unknown[];
  kwargs: Record<string, unknown>;
}

export function callFrom(input: unknown): Call {
  const value = (input ?? {}) as { args?: unknown; kwargs?: unknown };
  return {
    args: Array.isArray(value.args) ? value.args : [],
    kwargs: value.kwargs && typeof value.kwargs === "object" ? (value.kwargs as Record<string, unknown>) : {},
  };
}

export function debugSnippet(origin: string, jobType: string, call: Call): string {
  return [
    "from MultiJob import MultiJob",
    "",
    `client = MultiJob(base_url=${JSON.stringify(origin)})`,
    `client.load_job_file(job_type=${JSON.stringify(jobType)})`,
    `print(client.main(${callOf(call.args, call.kwargs)}))`,
  ].join("\n");
}

export type Reach = Pick<Machine, "address" | "user" | "port" | "gateway" | "root" | "interpreter">;

/** How a person gets there as the server does, with what the inventory says. */
export function loginCommand(machine: Reach): string {
  const options = [...(machine.gateway ? ["-J", machine.gateway] : []), ...(machine.port ? ["-p", String(machine.port)] : [])];
  return ["ssh", ...options, machine.user ? `${machine.user}@${machine.address}` : machine.address].map(quoted).join(" ");
}

/** A folder of the machine for its shell: what begins with "~/" is below the account's home. */
function folderOf(path: string): string {
  return path.startsWith("~/") ? `~/${quoted(path.slice(2))}` : quoted(path);
}

/** The same call on the machine, in the very folder and by the very Python that the runner used. */
export function remoteCommand(machine: Reach, serverId: string, folder: string, call: Call): string {
  const there = machine.address === "local" ? [] : [loginCommand(machine)];
  const run = `from main import work; print(work(${callOf(call.args, call.kwargs)}))`;
  return [...there, `cd ${folderOf(`${machine.root.replace(/\/+$/, "")}/${serverId}/${folder}`)}`, `${quoted(machine.interpreter || "python3")} -B -c ${quoted(run)}`].join("\n");
}
