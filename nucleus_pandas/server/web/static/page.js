"use strict";
// Every page works without this script.

const root = document.documentElement;
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const one = (selector, within = document) => within.querySelector(selector);
root.classList.add("js");

// Forms that are sent as soon as a field changes

for (const field of all("[data-auto]")) field.addEventListener("change", () => field.form.requestSubmit());

if (matchMedia("(max-width: 560px)").matches) {
  for (const part of all('[data-narrow-shut=""]')) part.open = false;
}

// Python code

async function copy(button) {
  const code = one("code", button.parentElement);
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(code);  // the browser denied access to the clipboard
    button.textContent = "Press Ctrl+C";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}
for (const button of all("[data-copy]")) button.addEventListener("click", () => copy(button));

// The list of keyboard shortcuts

const help = one("#help");
for (const button of all("[data-help]")) button.addEventListener("click", () => help.showModal());

// Highlighting: boxes and their rows, curves and their rows

function highlight(name, on) {
  const selector = `[data-n="${CSS.escape(name)}"], [data-curve="${CSS.escape(name)}"]`;
  for (const element of all(selector)) element.classList.toggle("lit", on);
  for (const partner of all(`.s[data-p="${CSS.escape(name)}"]`)) partner.classList.toggle("paired", on);
}
const nameOf = (element) => element.dataset.n || element.dataset.curve;
for (const element of all("[data-n], [data-curve]")) {
  for (const kind of ["mouseenter", "focus"]) element.addEventListener(kind, () => highlight(nameOf(element), true));
  for (const kind of ["mouseleave", "blur"]) element.addEventListener(kind, () => highlight(nameOf(element), false));
}
for (const shape of all("#stage .s[data-n]")) {
  shape.addEventListener("click", () => {
    const row = one(`tr[data-n="${CSS.escape(shape.dataset.n)}"]`);
    row?.focus({ preventScroll: true });
    row?.scrollIntoView({ block: "nearest" });
  });
}

// Labels of shapes: one that would overlap another is hidden, unless its row is highlighted

const names = all("#stage .names text");
function hideOverlaps() {
  for (const name of names) name.classList.remove("crowded");
  const boxes = names.map((name) => name.getBBox());  // all at once, so that the browser measures once
  const shown = [];
  for (const [index, name] of names.entries()) {
    const box = boxes[index];
    const overlaps = (other) => box.x < other.x + other.width && other.x < box.x + box.width && box.y < other.y + other.height && other.y < box.y + box.height;
    if (!box.width) continue;  // its layer is hidden
    if (shown.some(overlaps)) name.classList.add("crowded");
    else shown.push(box);
  }
}
let frame = 0;
function hideOverlapsSoon() {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(hideOverlaps);
}
for (const box of all(".toggles input")) box.addEventListener("input", hideOverlapsSoon);

// Zoom: changes the view box of the image

const stage = one("#stage");
const zoom = stage && (() => {
  let whole = stage.viewBox.baseVal;
  whole = { x: whole.x, y: whole.y, width: whole.width, height: whole.height };
  let now = { ...whole };
  function show(box) {
    const width = Math.min(whole.width, Math.max(whole.width / 64, box.width));
    const height = width * whole.height / whole.width;
    const inside = (value, least, most) => Math.min(Math.max(value, least), most);
    now = {
      width, height,
      x: inside(box.x, whole.x, whole.x + whole.width - width),
      y: inside(box.y, whole.y, whole.y + whole.height - height),
    };
    stage.setAttribute("viewBox", `${now.x} ${now.y} ${now.width} ${now.height}`);
    write();
    stage.classList.toggle("zoomed", width < whole.width);
  }
  function write() {  // labels are 12 screen pixels high
    for (const group of all("g.names", stage)) group.setAttribute("font-size", 12 / stage.getScreenCTM().a);
    if (names.length) hideOverlapsSoon();
  }
  function at(event) {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(stage.getScreenCTM().inverse());
    return { x: point.x, y: point.y };
  }
  function by(factor, about) {
    const width = Math.min(whole.width, now.width / factor);
    const height = width * whole.height / whole.width;
    const middle = about || { x: now.x + now.width / 2, y: now.y + now.height / 2 };
    const across = (middle.x - now.x) / now.width, down = (middle.y - now.y) / now.height;
    show({ x: middle.x - across * width, y: middle.y - down * height, width });
  }
  function to(element) {
    const box = element.getBBox();
    const width = Math.max(box.width * 3, box.height * 3 * whole.width / whole.height, whole.width / 24);
    const height = width * whole.height / whole.width;
    show({ x: box.x + box.width / 2 - width / 2, y: box.y + box.height / 2 - height / 2, width });
    stage.scrollIntoView({ block: "nearest" });  // on narrow screens the rows are below the image
  }
  function resize(width, height) {  // an image without a stored size
    whole = { x: 0, y: 0, width, height };
    for (const part of all(".ground, image.s", stage)) {
      part.setAttribute("width", width);
      part.setAttribute("height", height);
    }
    show(whole);
  }

  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    by(Math.exp(-event.deltaY / 240), at(event));
  }, { passive: false });
  stage.addEventListener("dblclick", (event) => { event.preventDefault(); by(event.shiftKey ? 0.5 : 2, at(event)); });
  let grip = null;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button === 0 && now.width < whole.width) grip = at(event);
  });
  addEventListener("pointermove", (event) => {
    if (!grip) return;
    const here = at(event);
    show({ x: now.x + grip.x - here.x, y: now.y + grip.y - here.y, width: now.width });
  });
  addEventListener("pointerup", () => { grip = null; });
  write();
  addEventListener("resize", write);
  const steps = { in: () => by(1.6), out: () => by(1 / 1.6), fit: () => show(whole) };
  for (const button of all("[data-zoom]")) button.addEventListener("click", steps[button.dataset.zoom]);
  return { ...steps, to, resize };
})();

if (stage && "unsized" in stage.dataset) {
  const image = one("image", stage);
  if (image) {
    const probe = new Image();
    probe.referrerPolicy = "no-referrer";
    probe.addEventListener("load", () => zoom.resize(probe.naturalWidth, probe.naturalHeight));
    probe.src = image.getAttribute("href");
  }
}
if (stage?.dataset.see) {
  const shapes = stage.dataset.see.split(" ").map((name) => one(`.s[data-n="${CSS.escape(name)}"]`, stage)).filter(Boolean);
  for (const shape of shapes) highlight(shape.dataset.n, true);
  if (shapes.length) {
    one(`tr[data-n="${CSS.escape(shapes[0].dataset.n)}"]`)?.scrollIntoView({ block: "nearest" });
    zoom.to(shapes[0]);
  }
}
for (const row of all("tr[data-n]")) {
  const zoomTo = () => {
    const shape = stage && one(`.s[data-n="${CSS.escape(row.dataset.n)}"]`, stage);
    if (shape) zoom.to(shape);
  };
  row.addEventListener("dblclick", zoomTo);
  row.addEventListener("keydown", (event) => { if (event.key === "Enter" && event.target === row) zoomTo(); });
}

// Minimum confidence of predictions

const slider = one("#min-confidence");
slider?.addEventListener("input", () => {
  one("output", slider.parentElement).textContent = Number(slider.value).toFixed(2);
  for (const row of all("tr[data-c]")) {
    const faint = Number(row.dataset.c) < Number(slider.value);
    for (const element of all(`[data-n="${CSS.escape(row.dataset.n)}"]`)) element.classList.toggle("faint", faint);
  }
});

// Selection of images

const boxes = all("input[data-select]");
function showSelection() {
  const count = boxes.filter((box) => box.checked).length;
  for (const counter of all("[data-selected]")) counter.textContent = count;
  for (const button of all("[data-when-selected]")) button.toggleAttribute("data-some", count > 0);
}
let lastBox = null;
for (const box of boxes) {
  box.addEventListener("click", (event) => {
    if (event.shiftKey && lastBox) {
      const [from, to] = [boxes.indexOf(lastBox), boxes.indexOf(box)].sort((a, b) => a - b);
      for (const between of boxes.slice(from, to + 1)) between.checked = box.checked;
    }
    lastBox = box;
    showSelection();
  });
}
for (const button of all("[data-select-all]")) {
  button.addEventListener("click", () => {
    const isSelected = boxes.some((box) => !box.checked);
    for (const box of boxes) box.checked = isSelected;
    showSelection();
  });
}
showSelection();

// Keyboard

const walked = one("[data-walk]");
const stops = () => walked ? all(walked.dataset.walk, walked) : all("tr[data-n]").filter((row) => row.offsetParent);
function walk(key) {
  const places = stops();
  const here = places.indexOf(document.activeElement);
  if (!places.length) return false;
  if (here < 0) return go(places[0]);
  const is = places[here].getBoundingClientRect();
  const row = (rect) => Math.abs(rect.top - is.top) < rect.height / 2;
  let next = null;
  if (key === "ArrowRight") next = places[here + 1];
  if (key === "ArrowLeft") next = places[here - 1];
  if (key === "ArrowDown" || key === "ArrowUp") {
    const sign = key === "ArrowDown" ? 1 : -1;
    const others = sign > 0 ? places.slice(here + 1) : places.slice(0, here).reverse();
    const line = others.find((place) => !row(place.getBoundingClientRect()));
    if (line) {
      const top = line.getBoundingClientRect().top;
      const middle = is.left + is.width / 2;
      const off = (place) => { const rect = place.getBoundingClientRect(); return Math.abs(rect.left + rect.width / 2 - middle); };
      const same = others.filter((place) => Math.abs(place.getBoundingClientRect().top - top) < 2);
      next = same.reduce((best, place) => off(place) < off(best) ? place : best);
    }
  }
  return next ? go(next) : false;
}
function go(place) {
  place.focus();
  place.scrollIntoView({ block: "nearest" });
  return true;
}
const follow = (selector) => { const link = one(selector); if (link) link.click(); return Boolean(link); };
const toggle = (selector) => { const box = one(selector); if (box) box.click(); return Boolean(box); };
const up = () => follow("[data-up]") || (() => { const crumbs = all(".crumbs a"); crumbs.at(-1)?.click(); return crumbs.length > 0; })();

const keys = {
  "?": () => { help.showModal(); return true; },
  "/": () => { const field = one("[data-first]"); field?.focus(); return Boolean(field); },
  n: () => follow("a[rel=next]"),
  p: () => follow("a[rel=prev]"),
  u: up,
  l: () => toggle("#names"),
  x: () => {
    const card = document.activeElement.closest(".card");
    const box = card && one("input[data-select]", card);
    box?.click();
    return Boolean(box);
  },
  ArrowUp: () => walk("ArrowUp"),
  ArrowDown: () => walk("ArrowDown"),
  ArrowLeft: () => stage ? follow("a[rel=prev]") : walk("ArrowLeft"),
  ArrowRight: () => stage ? follow("a[rel=next]") : walk("ArrowRight"),
};
if (stage) {
  Object.assign(keys, { "+": () => { zoom.in(); return true; }, "=": () => { zoom.in(); return true; },
    "-": () => { zoom.out(); return true; }, "0": () => { zoom.fit(); return true; } });
  for (const [place, box] of all("[id^=layer-]").entries()) keys[String(place + 1)] = () => { box.click(); return true; };
}
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  const target = event.target;
  const writes = target.matches?.("input:not([type=checkbox]), select, textarea");
  if (writes || (target.matches?.(".wide, code") && event.key.startsWith("Arrow"))) return;
  if (keys[event.key]?.()) event.preventDefault();
});
