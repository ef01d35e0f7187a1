// Hash routes: they work below any path, and a link says everything that a page shows.
import { createRouter, createWebHashHistory, type RouteRecordRaw } from "vue-router";
import { session } from "@/state/session";

const routes: RouteRecordRaw[] = [
  { path: "/", name: "home", component: () => import("@/pages/HomePage.vue") },
  { path: "/all_job", name: "jobs", component: () => import("@/pages/JobsPage.vue") },
  { path: "/all_job/:id(\\d+)", name: "job", component: () => import("@/pages/JobPage.vue"), meta: { under: "jobs" } },
  { path: "/failures/:fingerprint?", name: "failures", component: () => import("@/pages/FailuresPage.vue") },
  { path: "/job_batch", name: "batches", component: () => import("@/pages/BatchesPage.vue") },
  { path: "/job_batch/:batch", name: "batch", component: () => import("@/pages/BatchPage.vue"), meta: { under: "batches" } },
  { path: "/machine_info", name: "machines", component: () => import("@/pages/MachinesPage.vue") },
  { path: "/machine_info/:id", name: "machine", component: () => import("@/pages/MachinePage.vue"), meta: { under: "machines" } },
  { path: "/timeline", name: "timeline", component: () => import("@/pages/TimelinePage.vue") },
  { path: "/job_type", name: "types", component: () => import("@/pages/TypesPage.vue") },
  { path: "/job_type/:type", name: "type", component: () => import("@/pages/TypePage.vue"), meta: { under: "types" } },
  { path: "/activity", name: "activity", component: () => import("@/pages/ActivityPage.vue") },
  { path: "/settings", name: "settings", component: () => import("@/pages/SettingsPage.vue") },
  { path: "/help", name: "help", component: () => import("@/pages/HelpPage.vue") },
  { path: "/login", name: "login", component: () => import("@/pages/LoginPage.vue") },
  { path: "/home", redirect: "/" },
  { path: "/:rest(.*)*", name: "nowhere", component: () => import("@/pages/NowherePage.vue") },
];

export const router = createRouter({
  history: createWebHashHistory(),
  routes,
  scrollBehavior: (to, from, saved) => saved ?? (to.path === from.path ? undefined : { top: 0 }),
});

router.beforeEach((to) => {
  if (to.name === "login") return session.me ? { path: wantedAfterLogin(to.query.to) } : true;
  return session.me ? true : { name: "login", query: to.fullPath === "/" ? {} : { to: to.fullPath } };
});

/** Only a place of ours: never an address somebody put into the link. */
export function wantedAfterLogin(to: unknown): string {
  return typeof to === "string" && /^\/(?!\/)/.test(to) ? to : "/";
}

/** The menu, in the order of the old page; `key` opens it after `g`. */
export const MENU = [
  { name: "home", icon: "home", key: "h" },
  { name: "jobs", icon: "jobs", key: "j" },
  { name: "failures", icon: "failures", key: "f" },
  { name: "batches", icon: "batches", key: "b" },
  { name: "machines", icon: "machines", key: "m" },
  { name: "timeline", icon: "timeline", key: "t" },
  { name: "types", icon: "types", key: "y" },
  { name: "activity", icon: "activity", key: "a" },
  { name: "help", icon: "help", key: "d" },
] as const;
