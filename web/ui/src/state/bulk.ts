// An action on many jobs that waits for somebody's yes; one dialog serves all pages.
import { shallowRef } from "vue";
import type { ActionName } from "@/api";
import type { Filter } from "@/lib/filters";

export interface BulkWish {
  action: ActionName;
  filter?: Filter;
  ids?: number[];
  elsewhere?: boolean;
  /** Of the first job meant, to begin with. */
  priority?: number;
  /** Called when something was changed. */
  done?: () => void;
}

export const bulkWish = shallowRef<BulkWish | null>(null);

export function wishBulk(wish: BulkWish): void {
  bulkWish.value = wish;
}
