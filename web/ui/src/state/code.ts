// A one-time code rides in the fragment, which no server and no log ever sees; it is taken out of the address at once.
// This must be loaded before the router, which reads the address when it is made.

const found = new URLSearchParams(location.hash.replace(/^#\/?\??/, "")).get("code");
if (found) history.replaceState(null, "", `${location.pathname}#/`);

/** The code of the link that opened this page. */
export const code: string | null = found;
