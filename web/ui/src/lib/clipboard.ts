// Copying, also where the page was not served securely and the browser withholds its clipboard.
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** Hand a text to the browser as a file. */
export function saveText(name: string, text: string | string[], type = "text/plain"): void {
  const url = URL.createObjectURL(new Blob(typeof text === "string" ? [text] : text, { type: `${type};charset=utf-8` }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
