// The drawing surface: a mask, or a map of several classes, of props.rows x props.columns px, shown at any width.
//
// The mask is an array of its own, and the canvas only shows it: brush and strokes are in px of the mask at any display
// size. A pixel is drawn if its centre lies within half a brush of the pen's path. Python exchanges the mask as
// props.value: the lowest bit of its values, row by row, then the next bit if there are more than two classes, and so
// on, in base64. Run by gr.HTML with element, props, trigger, watch.

const H = props.rows, W = props.columns, NAMES = props.names;  // of the classes, by value; 0 is air
const COLOURS = props.colours;  // of each, as ppcore.figures.style draws it; bytes are alpha, blue, green, red
const PLANES = 32 - Math.clz32(NAMES.length - 1), BYTES = H * W / 8;  // bits of a value; bytes of a plane
const UNDOS = 200, REST = 500;  // REST: ms without a stroke
const find = (name) => element.querySelector("[data-is=" + name + "]");
const canvas = element.querySelector("canvas"), context = canvas.getContext("2d");
const picture = context.createImageData(W, H), pixels = new Uint32Array(picture.data.buffer);
const size = find("size"), ring = find("ring");
const past = [];  // the mask before each step, as base64
let mask = new Uint8Array(H * W), last = "", pen = null, at = null, value = 1, moved = -REST;

function pack() {
  const bytes = new Uint8Array(PLANES * BYTES);
  for (let plane = 0; plane < PLANES; plane++)
    for (let i = 0; i < mask.length; i++)
      if (mask[i] >> plane & 1) bytes[plane * BYTES + (i >> 3)] |= 128 >> (i & 7);
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return btoa(text);
}

function unpack(text) {
  const bytes = atob(text);
  mask.fill(0);
  for (let plane = 0; plane < PLANES; plane++)
    for (let i = 0; i < mask.length; i++)
      mask[i] |= (bytes.charCodeAt(plane * BYTES + (i >> 3)) >> (7 - (i & 7)) & 1) << plane;
  show(0, 0, W, H);
}

function show(left, top, right, bottom) {
  for (let y = top; y < bottom; y++)
    for (let x = left; x < right; x++) pixels[y * W + x] = COLOURS[mask[y * W + x]];
  context.putImageData(picture, 0, 0, left, top, right - left, bottom - top);
}

// every pixel whose centre is at most half a brush from the line between two points
function stroke([x0, y0], [x1, y1]) {
  const radius = Math.max(size.value / 2, 0.71), dx = x1 - x0, dy = y1 - y0, length = dx * dx + dy * dy;
  const first = (a, b) => Math.max(0, Math.floor(Math.min(a, b) - radius));
  const end = (a, b, size) => Math.min(size, Math.ceil(Math.max(a, b) + radius));
  const left = first(x0, x1), right = end(x0, x1, W), top = first(y0, y1), bottom = end(y0, y1, H);
  if (left >= right || top >= bottom) return;
  for (let y = top; y < bottom; y++)
    for (let x = left; x < right; x++) {
      const px = x + 0.5 - x0, py = y + 0.5 - y0;
      const t = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
      if ((px - t * dx) ** 2 + (py - t * dy) ** 2 <= radius * radius) mask[y * W + x] = value;
    }
  show(left, top, right, bottom);
}

function remember(text) {
  past.push(text);
  if (past.length > UNDOS) past.shift();
}

// report the current mask; to Python only if it does not have it yet
function tell(python) {
  const counts = NAMES.map(() => 0);
  for (let i = 0; i < mask.length; i++) counts[mask[i]]++;
  find("asked").textContent = NAMES.map((name, i) => (100 * counts[i] / mask.length).toFixed(1) + " % " + name).slice(1)
    .join(", ");
  find("undo").disabled = !past.length;
  last = pack();
  if (!python) return;
  moved = performance.now();
  props.value = last;
  trigger("input");
}

// images wait for this: they take longer than masks, and would delay the next stroke's mask
window.surfaceAtRest = async () => {
  while (pen !== null || performance.now() - moved < REST) await new Promise((done) => setTimeout(done, 50));
};

function undo() {
  if (!past.length || pen !== null) return;
  unpack(past.pop());
  tell(true);
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) * W / box.width, (event.clientY - box.top) * H / box.height];
}

function moveRing(event) {
  const box = canvas.getBoundingClientRect(), across = size.value * box.width / W;
  ring.style.cssText = "display:block;width:" + across + "px;height:" + across + "px;left:" + (event.clientX - box.left)
    + "px;top:" + (event.clientY - box.top) + "px";
}

canvas.addEventListener("pointerdown", (event) => {
  if (pen !== null || event.button > 0 && event.button !== 5) return;  // one pen at a time; 5: a pen's eraser
  event.preventDefault();
  canvas.setPointerCapture(event.pointerId);
  pen = event.pointerId, at = place(event);
  value = event.button === 5 ? 0 : Number(element.querySelector("[data-value][aria-pressed=true]").dataset.value);
  remember(last);
  stroke(at, at);
});
canvas.addEventListener("pointermove", (event) => {
  if (event.pointerType === "mouse" || pen !== null) moveRing(event);
  if (event.pointerId !== pen) return;
  const seen = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
  for (const one of seen.length ? seen : [event]) {
    const next = place(one);
    stroke(at, next);
    at = next;
  }
});
for (const end of ["pointerup", "pointercancel"])
  canvas.addEventListener(end, (event) => {
    if (event.pointerId !== pen) return;
    pen = null;
    if (event.pointerType !== "mouse") ring.style.display = "none";
    tell(true);
  });
canvas.addEventListener("pointerleave", () => { if (pen === null) ring.style.display = "none"; });
canvas.addEventListener("contextmenu", (event) => event.preventDefault());

const tools = element.querySelectorAll("[data-value]");
for (const tool of tools)
  tool.addEventListener("click", () => {
    for (const each of tools) each.setAttribute("aria-pressed", each === tool);
  });
for (const [name, filling] of [["clear", 0], ["fill", 1]])
  find(name).addEventListener("click", () => {
    remember(last);
    mask.fill(filling);
    show(0, 0, W, H);
    tell(true);
  });
find("undo").addEventListener("click", undo);
window.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && !event.shiftKey && event.key === "z"
      && (event.target === size || !/^(INPUT|TEXTAREA)$/.test(event.target.tagName))) undo();
});
size.addEventListener("input", () => { find("width").textContent = size.value + " mask px"; });
watch("value", () => {  // an example or an upload: a step like any other, which Python already has
  if (!props.value || props.value === last) return;
  remember(last);
  unpack(props.value);
  tell(false);
});

show(0, 0, W, H);
tell(false);
