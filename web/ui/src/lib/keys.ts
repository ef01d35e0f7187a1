// Keyboard shortcuts: single letters, "g" followed by a letter, and Ctrl-K. Silent while somebody types or a dialog is open.
import { onMounted, onUnmounted } from "vue";

type Handler = () => void;
const layers: Map<string, Handler>[] = [];
const SEQUENCE_MS = 1200;
let pendingSince = 0;

function typing(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}

function dialogOpen(): boolean {
  return Array.from(document.querySelectorAll('[role="dialog"]')).some((one) => (one as HTMLElement).offsetParent !== null);
}

function nameOf(event: KeyboardEvent): string {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") return "ctrl+k";
  if (event.ctrlKey || event.metaKey || event.altKey) return "";
  return event.key;
}

function onKey(event: KeyboardEvent): void {
  let key = nameOf(event);
  if (!key || (key !== "ctrl+k" && (typing(event.target) || dialogOpen()))) return;
  if (Date.now() - pendingSince < SEQUENCE_MS) key = `g ${key}`;
  pendingSince = key === "g" ? Date.now() : 0;
  for (const layer of [...layers].reverse()) {
    const handler = layer.get(key);
    if (!handler) continue;
    event.preventDefault();
    handler();
    return;
  }
}

document.addEventListener("keydown", onKey);

/** These keys do this while the component is shown; the one mounted last wins. */
export function useKeys(handlers: Record<string, Handler>): void {
  const layer = new Map(Object.entries(handlers));
  onMounted(() => layers.push(layer));
  onUnmounted(() => {
    const at = layers.indexOf(layer);
    if (at >= 0) layers.splice(at, 1);
  });
}
