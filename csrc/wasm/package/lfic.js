// lfic in JavaScript: learned face images of 50 to 1,500 bytes <-> pixels, in browsers and in Node.
//
//     import { load } from "lfic";
//     const codec = await load();
//     const { width, height, data } = codec.decode(bytes);           // RGBA, as ImageData wants it
//     const file = codec.encode(imageData, { quality: 40 });         // or { maxBytes: 300 }
//
// Everything is integer arithmetic: pixels and bytes equal those of lfic in Python, C and C++.

const FORMATS = ["invalid input", "no lfic file", "damaged file", "weights", "buffer", "memory", "fault of lfic"];
const MODELS = { 0: "face-v1", 1: "face-v2", 255: "private" };
const SIDE = 112;
const LARGEST_FACE = 4 * SIDE;

/** What lfic refuses: `kind` says why, the text what was found and what is allowed. */
export class LficError extends Error {
  constructor(status, text) {
    super(text);
    this.name = "LficError";
    this.status = status;
    this.kind = FORMATS[status - 1] ?? "unknown";
  }
}

/** Bytes of a URL, path (Node), Response, ArrayBuffer or typed array. */
async function bytesOf(source) {
  if (source instanceof Promise) source = await source;
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (ArrayBuffer.isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  if (typeof Response !== "undefined" && source instanceof Response) {
    if (!source.ok) throw new LficError(4, `${source.url}: ${source.status} ${source.statusText}`);
    return new Uint8Array(await source.arrayBuffer());
  }
  const url = source instanceof URL ? source : new URL(source, import.meta.url);
  if (url.protocol === "file:" && typeof process !== "undefined") {
    const { readFile } = await import("node:fs/promises");
    return new Uint8Array(await readFile(url));
  }
  return bytesOf(await fetch(url));
}

/** What the module asks of its host: nothing but to be told that it has no files. */
function host(memory) {
  const none = () => 52; // WASI's ENOSYS
  const known = {
    proc_exit: (code) => {
      throw new LficError(7, `the module ended with ${code}`);
    },
    emscripten_notify_memory_growth: () => {},
  };
  return new Proxy({}, { get: (_, name) => known[name] ?? none });
}

/**
 * Load the module and a model. Both lie beside this file unless told otherwise; each is fetched once.
 * @param {{wasm?: any, weights?: any}} [from]
 */
export async function load({ wasm = new URL("lfic.wasm", import.meta.url), weights } = {}) {
  weights ??= new URL("face-v2.safetensors", import.meta.url);
  const [code, model] = await Promise.all([bytesOf(wasm), bytesOf(weights)]);
  const module = await WebAssembly.compile(code);
  const imports = {};
  for (const { module: from } of WebAssembly.Module.imports(module)) imports[from] ??= host();
  const { exports } = await WebAssembly.instantiate(module, imports);
  exports._initialize?.();
  return new Codec(exports, model);
}

/** A model, ready to decode and to encode. */
export class Codec {
  #wasm;
  #model;

  constructor(exports, weights) {
    this.#wasm = exports;
    this.#model = this.#with([weights.length, 4], ([data, out]) => {
      this.#bytes(data, weights.length).set(weights);
      this.#check(exports.load(data, weights.length, out));
      return this.#word(out);
    });
  }

  /** What a file says of itself; decodes nothing. */
  probe(file, { maxPixels = 0 } = {}) {
    return this.#withFile(file, [44], (data, size, out) => {
      this.#check(this.#wasm.probe(data, size, maxPixels, out));
      const f = new Int32Array(this.#wasm.memory.buffer, out, 11);
      return {
        width: f[0], height: f[1], version: f[2], model: MODELS[f[3]], quality: f[4], aligned: f[5] === 1,
        checksum: f[6] === 1, scale: f[7] / 64, layers: f[8], grey: f[9] === 1, payloadBytes: f[10],
        bytes: size,
      };
    });
  }

  /** A file -> {width, height, data}: RGBA, as ImageData wants it. */
  decode(file, { maxPixels = 0 } = {}) {
    const { width, height } = this.probe(file, { maxPixels });
    const size4 = 4 * width * height;
    return this.#withFile(file, [size4], (data, size, rgba) => {
      this.#check(this.#wasm.decode(this.#model, data, size, maxPixels, rgba, size4));
      return { width, height, data: new Uint8ClampedArray(this.#bytes(rgba, size4)) };
    });
  }

  /** The faces of a file as they were coded: [{width, height, data, matrix, quality}]. */
  faces(file) {
    const info = this.probe(file);
    const count = info.layers || (info.aligned ? 1 : 0);
    const room = 4 * (info.layers ? LARGEST_FACE : SIDE) ** 2;
    return Array.from({ length: count }, (_, index) =>
      this.#withFile(file, [room, 48, 4, 4], (data, size, rgba, matrix, side, quality) => {
        this.#check(this.#wasm.decode_face(this.#model, data, size, index, rgba, room, side, matrix, quality));
        const width = this.#word(side);
        return {
          width, height: width, data: new Uint8ClampedArray(this.#bytes(rgba, 4 * width * width)),
          matrix: Array.from(new Float64Array(this.#wasm.memory.buffer, matrix, 6)), quality: this.#word(quality),
        };
      }),
    );
  }

  /** The level, 0 to 2, of each region of 32 x 32 pixels of the picture or its background: {rows, columns, data}. */
  levels(file) {
    const { width, height, scale } = this.probe(file);
    const along = (side) => Math.ceil(Math.ceil(side * scale) / 32);
    const [rows, columns] = [along(height), along(width)];
    return this.#withFile(file, [rows * columns, 4], (data, size, out, count) => {
      this.#setWord(count, rows * columns);
      this.#check(this.#wasm.levels(this.#model, data, size, out, count));
      return { rows, columns, data: new Uint8Array(this.#bytes(out, this.#word(count))) };
    });
  }

  /** A bare stream, as a QR code holds it -> the file that says the same. A file stays as it is. */
  fileOfBare(bare) {
    return this.#withFile(bare, [bare.length + 8, 4], (data, size, out, count) => {
      this.#setWord(count, size + 8);
      this.#check(this.#wasm.file_of_bare(data, size, out, count));
      return new Uint8Array(this.#bytes(out, this.#word(count)));
    });
  }

  /** {width, height, data} in RGBA -> a file. aligned: the face stands on the template (undefined: as costs less). */
  encode({ width, height, data }, { quality = 40, maxBytes = 0, aligned, checksum = true, resolution = "auto" } = {}) {
    if (resolution !== "auto" && resolution !== "full")
      throw new LficError(1, `resolution is '${resolution}'; allowed are 'auto' and 'full'`);
    if (data.length !== 4 * width * height) throw new LficError(1, `data has ${data.length} bytes, not 4 a pixel`);
    for (let room = 4096; ; ) {
      const out = this.#with([data.length, room, 4], ([pixels, file, size]) => {
        this.#bytes(pixels, data.length).set(data);
        this.#setWord(size, room);
        const way = aligned === undefined ? -1 : aligned ? 1 : 0;
        const status = this.#wasm.encode(
          this.#model, pixels, width, height, quality, way, checksum ? 1 : 0, resolution === "full" ? 1 : 0, maxBytes, file,
          size,
        );
        if (status === 5) {
          room = this.#word(size);
          return null;
        }
        this.#check(status);
        return new Uint8Array(this.#bytes(file, this.#word(size)));
      });
      if (out) return out;
    }
  }

  /** Give the model's memory back. */
  close() {
    this.#wasm.unload(this.#model);
    this.#model = 0;
  }

  #bytes(at, size) {
    return new Uint8Array(this.#wasm.memory.buffer, at, size);
  }

  #word(at) {
    return new DataView(this.#wasm.memory.buffer).getUint32(at, true);
  }

  #setWord(at, value) {
    new DataView(this.#wasm.memory.buffer).setUint32(at, value, true);
  }

  #check(status) {
    if (status === 0) return;
    const at = this.#wasm.error();
    const memory = new Uint8Array(this.#wasm.memory.buffer);
    throw new LficError(status, new TextDecoder().decode(memory.slice(at, memory.indexOf(0, at))));
  }

  /** Run `work` with blocks of the module's memory, which are given back afterwards. */
  #with(sizes, work) {
    const blocks = [];
    try {
      for (const size of sizes) {
        const block = this.#wasm.allocate(size);
        if (!block) throw new LficError(6, "there is not enough memory");
        blocks.push(block);
      }
      return work(blocks);
    } finally {
      for (const block of blocks) this.#wasm.release(block);
    }
  }

  #withFile(file, sizes, work) {
    return this.#with([file.length, ...sizes], ([data, ...blocks]) => {
      this.#bytes(data, file.length).set(file);
      return work(data, file.length, ...blocks);
    });
  }
}
