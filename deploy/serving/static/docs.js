"use strict";

function add(parent, tag, text) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

function list(section, title, lines) {
  if (!lines.length) return;
  add(section, "h3", title);
  const items = add(section, "ul");
  for (const line of lines) add(items, "li", line);
}

function operation(method, path, one) {
  const section = document.createElement("section");
  section.className = "operation";
  add(section, "h2", `${method.toUpperCase()} ${path}`);
  add(section, "p", one.summary);
  list(section, "Parameters", (one.parameters ?? []).map((p) => `${p.name}: ${p.description ?? ""}`));
  list(section, "Body", Object.keys(one.requestBody?.content ?? {}));
  list(section, "Answers", Object.entries(one.responses).map(([status, r]) => {
    const types = Object.keys(r.content ?? {}).join(", ");
    return `${status}: ${r.description}${types ? ` (${types})` : ""}`;
  }));
  const schema = one.responses["200"]?.content?.["application/json"]?.schema;
  if (schema?.properties) {
    add(section, "h3", "JSON");
    add(section, "pre", JSON.stringify(schema.properties, null, 2));
  }
  return section;
}

fetch("/openapi.json").then((response) => response.json()).then((description) => {
  const operations = document.getElementById("operations");
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, one] of Object.entries(methods)) operations.append(operation(method, path, one));
  }
});
