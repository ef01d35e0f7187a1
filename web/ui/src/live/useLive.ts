// Something asked of the server, kept fresh: asked again when events say so, never twice at once, never too often.
import { onScopeDispose, ref, shallowRef, watch, type Ref, type WatchSource } from "vue";
import { isMissing, Problem } from "@/api";
import { listen, type Kind } from "./hub";

const AT_MOST_EVERY_MS = 1000;

export interface Loaded<T> {
  data: Readonly<Ref<T | null>>;
  error: Readonly<Ref<Problem | null>>;
  /** The server does not offer this. */
  missing: Readonly<Ref<boolean>>;
  loading: Readonly<Ref<boolean>>;
  reload: () => Promise<void>;
}

interface Options {
  kinds?: readonly Kind[];
  /** Ask anew, and forget what was shown, when one of these changes. */
  watching?: WatchSource | WatchSource[];
  /** Whether asking makes sense now. */
  when?: () => boolean;
}

export function useLive<T>(load: () => Promise<T>, options: Options = {}): Loaded<T> {
  const data = shallowRef<T | null>(null);
  const error = shallowRef<Problem | null>(null);
  const missing = ref(false);
  const loading = ref(false);
  let round = 0;
  let asking = false;
  let again = false;
  let askedAt = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  async function reload(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    if (asking) {
      again = true;
      return;
    }
    const mine = round;
    asking = true;
    askedAt = Date.now();
    loading.value = data.value === null;
    try {
      const loaded = await load();
      if (mine === round) settle(loaded);
    } catch (problem) {
      if (mine === round) refuse(problem);
    } finally {
      asking = false;
      loading.value = false;
      if (again) {
        again = false;
        void reload();
      }
    }
  }

  function settle(loaded: T): void {
    data.value = loaded;
    error.value = null;
    missing.value = false;
  }

  function refuse(problem: unknown): void {
    missing.value = isMissing(problem);
    error.value = problem instanceof Problem ? problem : new Problem({ status: -1, code: "internal", message: String(problem) });
  }

  function soon(): void {
    if (timer !== undefined || missing.value || options.when?.() === false) return;
    timer = setTimeout(() => {
      timer = undefined;
      if (options.when?.() !== false) void reload();
    }, Math.max(0, askedAt + AT_MOST_EVERY_MS - Date.now()));
  }

  if (options.watching) {
    watch(options.watching, () => {
      round += 1;
      data.value = null;
      error.value = null;
      missing.value = false;
      void reload();
    });
  }
  const unlisten = listen(options.kinds ?? [], soon);
  onScopeDispose(() => {
    unlisten();
    clearTimeout(timer);
    round += 1;
  });
  void reload();
  return { data, error, missing, loading, reload };
}
