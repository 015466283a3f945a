// The page: files and pictures in, pixels, bytes and milliseconds out. All of it by lfic.js beside this.
import { load, LficError } from "./lfic.js";

const LARGEST = 2048; // pixels of a side that is encoded; larger pictures are made smaller
const SIDE = 112;
const QR_SIDES = [800, 1400, 500]; // a photo is looked through at these sizes, one after the other

const $ = (id) => document.getElementById(id);
const state = { codec: null, seen: null, original: null, made: null };

const now = () => performance.now();
const shortMs = (ms) => (ms < 9.95 ? ms.toFixed(1) : Math.round(ms).toString());

/** Run `work` once warm, then report its result and the milliseconds it took. */
function timed(work) {
  const start = now();
  const out = work();
  return [out, now() - start];
}

function draw(canvas, { width, height, data }) {
  canvas.width = width;
  canvas.height = height;
  canvas.classList.toggle("small", Math.max(width, height) <= 256);
  canvas.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
}

function note(id, text, bad = false) {
  $(id).textContent = text;
  $(id).classList.toggle("bad", bad);
}

function explain(error) {
  return error instanceof LficError ? error.message : `That did not work: ${error.message ?? error}`;
}

// ---------------------------------------------------------------------------------------------------------------- see

/** Bytes of an .lfic file, or of a bare stream out of a QR code. */
function see(file, from) {
  const { codec } = state;
  const info = codec.probe(file);
  codec.decode(file); // memory grows and code is compiled before the clock runs
  const [pixels, ms] = timed(() => codec.decode(file));
  state.seen = { file, info, pixels };
  showSeen();
  $("see-bytes").textContent = file.length.toLocaleString("en");
  $("see-ms").textContent = shortMs(ms);
  $("see-size").textContent = `${info.width} × ${info.height}`;
  $("see-quality").textContent = info.quality || "–";
  $("see-save").disabled = false;
  const kind = info.layers
    ? `a photo with ${info.layers} face ${info.layers > 1 ? "layers" : "layer"}`
    : info.aligned ? "a face on the template" : "a picture";
  note("see-note", `${from}: ${kind}, ${info.model}${info.checksum ? ", checksum right" : ""}.`);
  $("see-faces").replaceChildren(
    ...(info.layers ? codec.faces(file) : []).map((face) => {
      const item = document.createElement("li");
      const canvas = document.createElement("canvas");
      draw(canvas, face);
      canvas.title = `quality ${face.quality}`;
      item.append(canvas);
      return item;
    }),
  );
}

function showSeen() {
  const { file, info, pixels } = state.seen;
  const canvas = $("see-picture");
  draw(canvas, pixels);
  if (!$("regions").checked) return;
  const { rows, columns, data } = state.codec.levels(file);
  const context = canvas.getContext("2d");
  const side = 32 / info.scale;
  const colours = ["rgb(194 65 12 / 45%)", "rgb(234 179 8 / 35%)", "rgb(37 99 235 / 35%)"];
  for (let y = 0; y < rows; y++)
    for (let x = 0; x < columns; x++) {
      context.fillStyle = colours[data[y * columns + x]];
      context.fillRect(x * side, y * side, side - 1, side - 1);
    }
}

/** The bytes of a QR code in a picture, or null. */
async function readCode(bitmap) {
  const { default: jsQR } = await import("./vendor/jsQR.js");
  for (const side of QR_SIDES) {
    const { width, height, data } = pixelsOf(bitmap, Math.min(1, side / Math.max(bitmap.width, bitmap.height)));
    const found = jsQR(data, width, height);
    if (found?.binaryData?.length) return new Uint8Array(found.binaryData);
  }
  return null;
}

async function openSeen(blob) {
  try {
    const bytes = new Uint8Array(await blob.arrayBuffer());
    if (bytes[0] === 0xfc || blob.name?.endsWith(".lfic")) return see(bytes, blob.name ?? "a file");
    const bitmap = await pictureOf(blob);
    if (!bitmap) throw new LficError(2, "This is neither an .lfic file nor a picture that the browser reads.");
    const code = await readCode(bitmap);
    if (!code) throw new LficError(2, "No QR code was found in this picture: a larger or sharper photo may do.");
    see(state.codec.fileOfBare(code), `QR code of ${code.length} bytes`);
    $("see-bytes").textContent = code.length.toLocaleString("en");
  } catch (error) {
    note("see-note", explain(error), true);
  }
}

// --------------------------------------------------------------------------------------------------------------- make

/** A picture that the browser reads, or null. */
async function pictureOf(blob) {
  try {
    return await createImageBitmap(blob);
  } catch {
    return null;
  }
}

function pixelsOf(bitmap, scale, crop = null) {
  const from = crop ?? { x: 0, y: 0, width: bitmap.width, height: bitmap.height };
  const width = crop ? SIDE : Math.max(1, Math.round(bitmap.width * scale));
  const height = crop ? SIDE : Math.max(1, Math.round(bitmap.height * scale));
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, from.x, from.y, from.width, from.height, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

/** What is encoded of a picture: its middle square as 112 x 112, or all of it. */
function prepared(bitmap) {
  const { width, height } = bitmap;
  if ($("square").checked) {
    const side = Math.min(width, height);
    const crop = { x: (width - side) / 2, y: (height - side) / 2, width: side, height: side };
    return pixelsOf(bitmap, 1, crop);
  }
  return pixelsOf(bitmap, Math.min(1, LARGEST / Math.max(width, height)));
}

async function openOriginal(blob) {
  const bitmap = await pictureOf(blob);
  if (!bitmap) return note("make-note", "The browser reads no picture in this file.", true);
  state.bitmap = bitmap;
  prepare();
}

function prepare() {
  if (!state.bitmap) return;
  state.original = prepared(state.bitmap);
  draw($("make-original"), state.original);
  make();
}

function make() {
  const { codec, original } = state;
  if (!original) return;
  const quality = Number($("quality").value);
  $("quality-value").textContent = quality;
  try {
    const [file, encodeMs] = timed(() => codec.encode(original, { quality }));
    const [pixels, decodeMs] = timed(() => codec.decode(file));
    state.made = { file, pixels };
    draw($("make-picture"), pixels);
    const raw = 3 * original.width * original.height;
    $("make-bytes").textContent = file.length.toLocaleString("en");
    $("make-ms").textContent = shortMs(encodeMs);
    $("make-decode-ms").textContent = shortMs(decodeMs);
    $("make-share").textContent = `1 : ${Math.round(raw / file.length).toLocaleString("en")}`;
    $("make-save").disabled = false;
    const { aligned } = codec.probe(file);
    note("make-note", aligned ? "The face stands on the template." : `${original.width} × ${original.height} pixels.`);
  } catch (error) {
    note("make-note", explain(error), true);
  }
}

// -------------------------------------------------------------------------------------------------------------- wiring

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function takesFiles(drop, input, open) {
  input.addEventListener("change", () => {
    if (input.files[0]) open(input.files[0]);
    input.value = "";
  });
  for (const kind of ["dragover", "dragleave", "drop"])
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
    });
}

/** One run of `work` a frame, however often it is asked for. */
function onceAFrame(work) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      work();
    });
  };
}

async function start() {
  if ("serviceWorker" in navigator && location.protocol !== "file:")
    navigator.serviceWorker.register("offline.js").catch(() => {}); // without it the page works, online
  const began = now();
  state.codec = await load();
  $("state").textContent = `Ready in ${shortMs(now() - began)} ms. Works offline from now on.`;
  takesFiles($("see-drop"), $("see-file"), openSeen);
  takesFiles($("make-drop"), $("make-file"), openOriginal);
  $("quality").addEventListener("input", onceAFrame(make));
  $("square").addEventListener("change", prepare);
  $("regions").addEventListener("change", () => state.seen && showSeen());
  $("look").addEventListener("change", () => state.seen && showSeen());
  $("see-save").addEventListener("click", () => {
    const { width, height, data } = state.seen.pixels;
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
    canvas.convertToBlob().then((blob) => save(blob, "face.png"));
  });
  $("make-save").addEventListener("click", () => save(new Blob([state.made.file]), "face.lfic"));
  const [file, picture] = await Promise.all(["face.lfic", "face.png"].map((name) => fetch(name).then((r) => r.blob())));
  see(new Uint8Array(await file.arrayBuffer()), "An example");
  await openOriginal(picture);
}

globalThis.lficPage = { state, see, openSeen, openOriginal };
globalThis.lficPage.ready = start().catch((error) => {
  $("state").textContent = `The codec could not be loaded: ${error.message}`;
  $("state").classList.add("bad");
  throw error;
});
