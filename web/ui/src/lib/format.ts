// Numbers into words. Pure; the words come from the caller (vue-i18n's t).

export type Translate = (key: string, values?: Record<string, unknown>) => string;

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86_400;

/** A duration, two units at most. */
export function span(seconds: number | null | undefined, t: Translate): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  const s = Math.max(0, seconds);
  if (s > 0 && s < 1) return s < 0.001 ? `<1 ${t("unit.ms")}` : `${Math.round(s * 1000)} ${t("unit.ms")}`;
  if (s < MINUTE) return `${s < 10 ? trim(s.toFixed(1)) : Math.floor(s)} ${t("unit.s")}`;
  if (s < HOUR) return two(s, MINUTE, 1, t("unit.min"), t("unit.s"));
  if (s < DAY) return two(s, HOUR, MINUTE, t("unit.h"), t("unit.min"));
  return two(s, DAY, HOUR, t("unit.d"), t("unit.h"));
}

function two(s: number, large: number, small: number, largeWord: string, smallWord: string): string {
  const rest = Math.floor((s % large) / small);
  return `${Math.floor(s / large)} ${largeWord}${rest ? ` ${rest} ${smallWord}` : ""}`;
}

function trim(text: string): string {
  return text.replace(/\.0$/, "");
}

/** How long ago, one unit. */
export function ago(seconds: number, t: Translate): string {
  if (seconds < 2) return t("time.just_now");
  if (seconds < MINUTE) return t("time.ago", { span: `${Math.floor(seconds)} ${t("unit.s")}` });
  if (seconds < HOUR) return t("time.ago", { span: `${Math.floor(seconds / MINUTE)} ${t("unit.min")}` });
  if (seconds < DAY) return t("time.ago", { span: `${Math.floor(seconds / HOUR)} ${t("unit.h")}` });
  return t("time.ago", { span: `${Math.floor(seconds / DAY)} ${t("unit.d")}` });
}

/** The exact local time with its zone. */
export function exact(at: number, locale: string, zone?: string): string {
  return new Intl.DateTimeFormat(locale, {
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
    hour12: false, timeZone: zone || undefined, timeZoneName: "short",
  }).format(new Date(at * 1000));
}

export function utc(at: number): string {
  return new Date(at * 1000).toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC");
}

export function clock(at: number, locale: string, zone?: string): string {
  return new Intl.DateTimeFormat(locale, {
    hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false, timeZone: zone || undefined,
  }).format(new Date(at * 1000));
}

export function bytes(count: number | null | undefined): string {
  if (count === null || count === undefined) return "–";
  const units = ["B", "KB", "MB", "GB", "TB"];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 10 ? Math.round(value) : trim(value.toFixed(1))} ${units[unit]}`;
}

export const megabytes = (mb: number | null | undefined): string => bytes(mb === null || mb === undefined ? null : mb * 1_048_576);

export function percent(ratio: number | null | undefined): string {
  return ratio === null || ratio === undefined ? "–" : `${Math.round(ratio * 100)} %`;
}

export function whole(count: number, locale: string): string {
  return new Intl.NumberFormat(locale).format(count);
}

/** Large counts where little room is: 1,234 stays, 1,234,567 becomes 1.23M. Never used where the number must be exact. */
export function short(count: number, locale: string): string {
  if (Math.abs(count) < 1_000_000) return whole(count, locale);
  return new Intl.NumberFormat(locale, { notation: "compact", maximumFractionDigits: 2 }).format(count);
}

/** A multiple, to two digits. */
export function times(ratio: number, locale: string): string {
  return new Intl.NumberFormat(locale, { maximumSignificantDigits: 2 }).format(ratio);
}

export function rate(perSecond: number | null | undefined, t: Translate): string {
  if (!perSecond) return "–";
  if (perSecond >= 1) return `${trim(perSecond.toFixed(perSecond < 10 ? 1 : 0))}/${t("unit.s")}`;
  if (perSecond * MINUTE >= 1) return `${trim((perSecond * MINUTE).toFixed(1))}/${t("unit.min")}`;
  return `${trim((perSecond * HOUR).toFixed(1))}/${t("unit.h")}`;
}
