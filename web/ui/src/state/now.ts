// The server's time, ticking once a second for every age that is shown.
import { ref } from "vue";
import { session } from "./session";

export const now = ref(Date.now() / 1000);

setInterval(() => {
  if (!document.hidden) now.value = Date.now() / 1000 + session.offset_s;
}, 1000);
