// The page's words: Chinese and English are equals. Only the language in use is loaded.
import { nextTick, watch } from "vue";
import { createI18n } from "vue-i18n";
import { prefs, type Language } from "@/state/prefs";

type Messages = Record<string, unknown>;

const loaders: Record<Language, () => Promise<{ default: Messages }>> = { zh: () => import("./zh.json"), en: () => import("./en.json") };

export const i18n = createI18n({ legacy: false, locale: prefs.language, fallbackLocale: false, missingWarn: false, messages: {} as Record<string, never> });

async function use(language: Language): Promise<void> {
  const loaded = await loaders[language]();
  i18n.global.setLocaleMessage(language, loaded.default as never);
  i18n.global.locale.value = language as never;
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  await nextTick();
}

export async function startLanguage(): Promise<void> {
  await use(prefs.language);
  watch(() => prefs.language, use);
}
