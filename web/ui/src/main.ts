// Begin: words, looks, who is signed in; then the page. A one-time code in the fragment signs in first.
import { code } from "@/state/code";
import "element-plus/theme-chalk/base.css";
import "element-plus/theme-chalk/dark/css-vars.css";
import "element-plus/theme-chalk/el-message.css";
import "element-plus/theme-chalk/el-message-box.css";
import "@/style/base.css";
import { createApp } from "vue";
import App from "@/App.vue";
import { api, onAnswer, Problem } from "@/api";
import { i18n, startLanguage } from "@/i18n";
import * as hub from "@/live/hub";
import { router } from "@/router";
import { startTheme } from "@/state/prefs";
import { askServer, enter, forget, session } from "@/state/session";
import { signInProblem } from "@/state/signIn";

async function identify(): Promise<void> {
  try {
    if (code) await api.signIn({ code });
    await enter();
    await askServer();
  } catch (error) {
    forget();
    if (code || (error instanceof Problem && error.status !== 401)) signInProblem.value = error as Problem;
  }
}

function sendToLogin(problem: Problem | null): void {
  if (problem?.status !== 401 || !session.known || !session.me) return;
  hub.stop();
  forget();
  void router.push({ name: "login", query: { to: router.currentRoute.value.fullPath } });
}

/** A part of the page could not be had: a newer server has other files. Load anew, but never in circles. */
function onLostPart(event: Event): void {
  const before = Number(sessionStorage.getItem("mj.reloaded") ?? 0);
  if (Date.now() - before < 30_000) return;
  event.preventDefault();
  sessionStorage.setItem("mj.reloaded", String(Date.now()));
  location.reload();
}

async function begin(): Promise<void> {
  addEventListener("vite:preloadError", onLostPart);
  startTheme();
  await Promise.all([startLanguage(), identify()]);
  onAnswer(sendToLogin);
  if (session.me) hub.start();
  createApp(App).use(i18n).use(router).mount("#app");
}

void begin();
