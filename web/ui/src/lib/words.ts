// Formatting bound to the language and zone in use, for templates.
import { computed } from "vue";
import { useI18n } from "vue-i18n";
import * as format from "@/lib/format";
import { prefs } from "@/state/prefs";
import { now } from "@/state/now";

export function useWords() {
  const { t } = useI18n();
  const translate: format.Translate = (key, values) => t(key, values ?? {});
  const locale = computed(() => (prefs.language === "zh" ? "zh-CN" : "en-GB"));
  return {
    t: translate,
    span: (seconds: number | null | undefined) => format.span(seconds, translate),
    ago: (at: number | null | undefined) => (at ? format.ago(Math.max(0, now.value - at), translate) : "–"),
    inTime: (at: number) => format.span(Math.max(0, at - now.value), translate),
    exact: (at: number) => format.exact(at, locale.value, prefs.zone),
    both: (at: number) => `${format.exact(at, locale.value, prefs.zone)} · ${format.utc(at)}`,
    clock: (at: number) => format.clock(at, locale.value, prefs.zone),
    whole: (count: number) => format.whole(count, locale.value),
    short: (count: number) => format.short(count, locale.value),
    times: (ratio: number) => format.times(ratio, locale.value),
    rate: (perSecond: number | null | undefined) => format.rate(perSecond, translate),
    locale,
  };
}
