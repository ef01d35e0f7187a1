import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import en from "../src/i18n/en.json";
import zh from "../src/i18n/zh.json";

type Words = { [key: string]: string | Words };

function flat(words: Words, before = ""): Map<string, string> {
  return new Map(Object.entries(words).flatMap(([key, value]) => (typeof value === "string" ? [[before + key, value] as const] : [...flat(value, `${before}${key}.`)])));
}

const [english, chinese] = [flat(en), flat(zh)];

test("both languages have the same keys", () => {
  expect([...english.keys()].sort()).toEqual([...chinese.keys()].sort());
});

test("a word takes the same values in both languages", () => {
  const taken = (text: string) => [...new Set(text.match(/\{\w+\}/g) ?? [])].sort();
  for (const [key, text] of english) expect([key, taken(chinese.get(key) ?? "")]).toEqual([key, taken(text)]);
});

test("no word is empty", () => {
  for (const words of [english, chinese]) for (const [key, text] of words) expect(text.trim(), key).not.toBe("");
});

function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? sources(path) : /\.(vue|ts)$/.test(entry.name) ? [readFileSync(path, "utf8")] : [];
  });
}

test("every word that is asked for by name exists", () => {
  const source = sources(join(import.meta.dirname, "../src")).join("\n");
  const asked = [...source.matchAll(/\bt\(\s*["']([\w.]+)["']/g)].map((found) => found[1] ?? "");
  expect(asked.filter((key) => !english.has(key))).toEqual([]);
});

test("nothing but coloured logs becomes markup", () => {
  const html = sources(join(import.meta.dirname, "../src")).flatMap((text) => text.match(/v-html="[^"]*"|\.innerHTML\s*=|insertAdjacentHTML/g) ?? []);
  expect(html).toEqual(['v-html="line.html"']);
});
