"use strict";

const byId = (id) => document.getElementById(id);
let latest = 0;

function show(message, isError) {
  byId("status").textContent = isError ? "" : message;
  byId("error").textContent = isError ? message : "";
  byId("error").hidden = !isError;
}

function swatch(color) {
  const image = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  image.setAttribute("width", "32");
  image.setAttribute("height", "16");
  image.setAttribute("aria-label", color);
  image.setAttribute("role", "img");
  const box = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  box.setAttribute("width", "32");
  box.setAttribute("height", "16");
  box.setAttribute("fill", color);
  image.append(box);
  return image;
}

function row(one) {
  const line = document.createElement("tr");
  const share = `${(100 * one.share).toFixed(2)} %`;
  for (const content of [swatch(one.color), one.name, share]) {
    const cell = document.createElement("td");
    cell.append(content);
    line.append(cell);
  }
  return line;
}

async function draw(name, answer) {
  const picture = byId("overlay");
  picture.src = answer.overlay;
  picture.alt = `${name}, painted in the colours of its classes`;
  await picture.decode();
  const sorted = [...answer.classes].sort((a, b) => b.pixels - a.pixels);
  byId("legend").replaceChildren(...sorted.map(row));
  byId("caption").textContent =
    `${name}: ${answer.width}×${answer.height} pixels, ${Math.round(answer.time_ms)} ms, model ${answer.model}`;
  byId("result").hidden = false;
}

async function predict(file) {
  const mine = ++latest;
  byId("result").hidden = true;
  show(`${file.name} is being segmented …`, false);
  try {
    const response = await fetch("/predict?output=json&overlay=true", {
      method: "POST",
      headers: { "Content-Type": "application/octet-stream" },
      body: file,
    });
    const answer = await response.json();
    if (mine !== latest) return;
    if (!response.ok) throw new Error(answer.error);
    await draw(file.name, answer);
    show("Done.", false);
  } catch (error) {
    if (mine === latest) show(`${file.name}: ${error.message}`, true);
  }
}

byId("file").addEventListener("change", (event) => {
  if (event.target.files.length) predict(event.target.files[0]);
});
byId("file").addEventListener("click", (event) => {
  event.target.value = "";  // so that the same file can be chosen again
});

// On the whole page: a file that misses the frame must not replace the page.
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    byId("drop").classList.toggle("over", name === "dragover");
    if (name === "drop" && event.dataTransfer.files.length) predict(event.dataTransfer.files[0]);
  });
}
