// Shows openapi.json: routes by noun, what each takes and answers. Every text goes in as text, never as markup.
"use strict";

const WORDS = {
  en: {
    other: "中文", search: "Search", needs: "scope", open: "public", takes: "Parameters", body: "Body",
    answers: "Answers", required: "required", none: "nothing",
    intro: "Send a token as Authorization: Bearer TOKEN, or as the password of HTTP Basic. Times are seconds since 1970, members that end in _s are seconds. Errors always have the shape ErrorAnswer.",
    failed: "The document cannot be read: ",
  },
  zh: {
    other: "English", search: "搜索", needs: "权限", open: "公开", takes: "参数", body: "请求体",
    answers: "答复", required: "必填", none: "无",
    intro: "令牌写在 Authorization: Bearer TOKEN，或作为 HTTP Basic 的密码。时间是自 1970 年起的秒数，以 _s 结尾的是秒。出错时的答复总是 ErrorAnswer 的形状。",
    failed: "无法读取文档：",
  },
};

let language = navigator.language.startsWith("zh") ? "zh" : "en";
let doc = null;

function make(tag, kind, text) {
  const node = document.createElement(tag);
  if (kind) node.className = kind;
  if (text !== undefined) node.textContent = text;
  return node;
}

/** A schema with its references put in, once each, so that a circle ends. */
function whole(schema, seen = []) {
  if (Array.isArray(schema)) return schema.map((one) => whole(one, seen));
  if (schema === null || typeof schema !== "object") return schema;
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return seen.includes(name) ? { is: name } : whole(doc.components.schemas[name], [...seen, name]);
  }
  return Object.fromEntries(Object.entries(schema).map(([key, one]) => [key, whole(one, seen)]));
}

/** A schema in the few words people need. */
function brief(schema) {
  if (schema.is) return schema.is;
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  const any = schema.anyOf || schema.oneOf;
  if (any) return any.every((one) => !one.properties) ? any.map(brief).join(" | ") : any.map(brief);
  if (schema.type === "array") return schema.items ? [brief(schema.items)] : "array";
  if (schema.properties) {
    const needed = schema.required || [];
    const named = Object.entries(schema.properties).map(([key, one]) => [needed.includes(key) ? key : `${key}?`, brief(one)]);
    return Object.fromEntries(named);
  }
  if (schema.type === "object" && typeof schema.additionalProperties === "object") {
    return { "*": brief(schema.additionalProperties) };
  }
  const bounds = ["minimum", "maximum", "default"].filter((key) => schema[key] !== undefined && schema[key] !== null);
  return [schema.type || "any", ...bounds.map((key) => `${key} ${schema[key]}`)].join(", ");
}

function shape(schema) {
  const told = brief(whole(schema));
  return make("pre", "", typeof told === "string" ? told : JSON.stringify(told, null, 2));
}

function parameters(list, words) {
  const table = make("table");
  for (const one of list) {
    const row = make("tr");
    row.append(make("th", "path", one.name), make("td", "", one.in), make("td", "", one.required ? words.required : ""));
    const told = brief(whole(one.schema));
    row.append(make("td", "", typeof told === "string" ? told : JSON.stringify(told)));
    row.append(make("td", "", one.description || one.schema.description || ""));
    table.append(row);
  }
  return table;
}

function inside(route, words) {
  const box = make("div", "inside");
  if (route.description) box.append(make("p", "", route.description));
  if (route.parameters.length) box.append(make("h3", "", words.takes), parameters(route.parameters, words));
  for (const [kind, content] of Object.entries(route.requestBody?.content || {})) {
    box.append(make("h3", "", `${words.body}: ${kind}`), shape(content.schema));
  }
  box.append(make("h3", "", words.answers));
  for (const [status, answer] of Object.entries(route.responses)) {
    box.append(make("p", "", `${status}: ${answer.description}`));
    if (!status.startsWith("2")) continue;
    for (const [kind, content] of Object.entries(answer.content || { [words.none]: null })) {
      box.append(make("p", "scope", kind));
      if (content) box.append(shape(content.schema));
    }
  }
  return box;
}

function entry(path, method, route, words) {
  const fold = make("details");
  fold.id = route.operationId;
  const head = make("summary");
  head.append(make("span", "method", method.toUpperCase()), make("span", "path", path));
  head.append(make("span", "", language === "zh" ? route["x-summary-zh"] : route.summary));
  head.append(make("span", "scope", route["x-scope"] ? `${words.needs}: ${route["x-scope"]}` : words.open));
  fold.append(head);
  fold.addEventListener("toggle", () => {
    if (fold.open && fold.children.length === 1) fold.append(inside(route, words));
  });
  return fold;
}

function show() {
  const words = WORDS[language];
  document.documentElement.lang = language;
  document.getElementById("language").textContent = words.other;
  document.getElementById("search-label").textContent = words.search;
  document.getElementById("intro").textContent = words.intro;
  if (!doc) return;
  const wanted = document.getElementById("search").value.trim().toLowerCase();
  const groups = new Map();
  for (const [path, methods] of Object.entries(doc.paths)) {
    for (const [method, route] of Object.entries(methods)) {
      const text = `${method} ${path} ${route.summary} ${route["x-summary-zh"]}`.toLowerCase();
      if (!text.includes(wanted)) continue;
      if (!groups.has(route.tags[0])) groups.set(route.tags[0], []);
      groups.get(route.tags[0]).push(entry(path, method, route, words));
    }
  }
  const nodes = [...groups].flatMap(([tag, entries]) => [make("h2", "", tag), ...entries]);
  document.getElementById("routes").replaceChildren(...nodes);
  document.getElementById("title").textContent = `${doc.info.title} · API ${doc.info.version}`;
}

async function load() {
  show();
  try {
    const answer = await fetch("openapi.json", { credentials: "same-origin" });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    doc = await answer.json();
    show();
    const chosen = document.getElementById(location.hash.slice(1));
    if (chosen instanceof HTMLDetailsElement) {
      chosen.open = true;
      chosen.scrollIntoView();
    }
  } catch (error) {
    document.getElementById("routes").textContent = WORDS[language].failed + error.message;
  }
}

document.getElementById("search").addEventListener("input", show);
document.getElementById("language").addEventListener("click", () => {
  language = language === "zh" ? "en" : "zh";
  show();
});
load();
