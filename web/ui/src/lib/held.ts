// A list that holds still while somebody reads it: the newest rows wait behind a count until they are asked for.
import { computed, onMounted, onUnmounted, ref, watch, type Ref } from "vue";
import { api, type JobPage } from "@/api";

/** Not more than so many new rows are counted. */
export const NEW_LIMIT = 100;
const SCROLLED_PX = 120;

export interface HeldPage extends JobPage {
  /** New rows above the first one shown; NEW_LIMIT means "or more". */
  fresh: number;
}

/** Whether the page is scrolled away from its top. */
export function useScrolled(): Ref<boolean> {
  const scrolled = ref(false);
  const look = () => (scrolled.value = window.scrollY > SCROLLED_PX);
  onMounted(() => window.addEventListener("scroll", look, { passive: true }));
  onUnmounted(() => window.removeEventListener("scroll", look));
  return scrolled;
}

/** ``reading``: the list is to hold still; ``newestFirst``: only then new rows come in above. */
export function useHeld(reading: () => boolean, newestFirst: () => boolean) {
  const anchor = ref<number | null>(null);
  const held = computed(() => anchor.value !== null);

  async function load(asked: Record<string, string>): Promise<HeldPage> {
    const from = anchor.value;
    if (from === null) return { ...(await api.jobs(asked)), fresh: 0 };
    const [shown, newest] = await Promise.all([api.jobs({ ...asked, after: String(from + 1) }), api.jobs({ ...asked, size: String(NEW_LIMIT) })]);
    return { ...shown, fresh: newest.jobs.filter((one) => one.id > from).length };
  }

  function hold(top: number | undefined): void {
    if (reading() && newestFirst() && anchor.value === null && top !== undefined) anchor.value = top;
  }

  function release(): void {
    anchor.value = null;
  }

  return { held, load, hold, release, whenDone: (then: () => void) => watch(reading, (now) => !now && anchor.value !== null && (release(), then())) };
}
