// What the server's errors mean to a person, by their code. Pure.
import { Problem } from "@/api/http";
import type { Translate } from "./format";

const KNOWN = new Set([
  "malformed", "not_signed_in", "not_allowed", "not_found", "conflict", "too_large", "wrong_host", "invalid", "too_many", "unavailable",
  "internal", "no_answer", "slow", "csrf", "cross_site", "sign_in_refused", "unknown_job_type",
]);

export interface Explained {
  meaning: string;
  message: string;
  next: string;
  requestId: string | null;
}

export function explain(error: unknown, t: Translate): Explained {
  if (!(error instanceof Problem)) return { meaning: t("error.internal.meaning"), message: String(error), next: t("error.internal.next"), requestId: null };
  const code = KNOWN.has(error.code) ? error.code : "other";
  const message = error.status === 0 ? "" : error.message;
  return { meaning: t(`error.${code}.meaning`), message, next: t(`error.${code}.next`), requestId: error.requestId };
}
