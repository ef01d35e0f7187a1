// Who is signed in, and what the server says about itself.
import { computed, reactive } from "vue";
import { api, setCsrf } from "@/api";
import type { InventoryProblem, Me } from "@/api";

interface Session {
  me: Me | null;
  /** Whether /me has been asked at all. */
  known: boolean;
  auth: boolean;
  version: string;
  server_id: string;
  uptime_s: number;
  problems: InventoryProblem[];
  /** Add this to the browser's clock to have the server's, in seconds. */
  offset_s: number;
}

export const session = reactive<Session>({ me: null, known: false, auth: true, version: "", server_id: "", uptime_s: 0, problems: [], offset_s: 0 });

export const may = (scope: string) => computed(() => !!session.me && (session.me.scopes.includes(scope) || session.me.scopes.includes("admin")));

export async function enter(): Promise<void> {
  const me = await api.me();
  setCsrf(me.csrf);
  session.me = me;
  session.known = true;
}

export function forget(): void {
  setCsrf(null);
  session.me = null;
  session.known = true;
}

export async function leave(): Promise<void> {
  await api.signOut().catch(() => null);
  forget();
}

export async function askServer(): Promise<void> {
  const facts = await api.server();
  Object.assign(session, {
    auth: facts.auth, version: facts.version, server_id: facts.server_id, uptime_s: facts.uptime_s, problems: facts.inventory_problems, offset_s: facts.now - Date.now() / 1000,
  });
}
