/** lfic in JavaScript: learned face images of 50 to 1,500 bytes <-> pixels. */

/** Where bytes come from: a URL, a path beside the module, a fetch, or the bytes themselves. */
export type Source = URL | string | Response | Promise<Response> | ArrayBuffer | ArrayBufferView;

/** Pixels in RGBA, four bytes each, rows from the top: an ImageData is one. */
export interface Pixels {
  width: number;
  height: number;
  data: Uint8ClampedArray<ArrayBuffer>;
}

export interface Info {
  width: number;
  height: number;
  /** Of the format: 1; 2: a photo or a picture coded smaller; 3: any other grey picture; 4 more of model face-v2. */
  version: 1 | 2 | 3 | 5 | 6 | 7;
  model: "face-v1" | "face-v2" | "private";
  /** 1 to 100: of the picture or the background; 0 without one. */
  quality: number;
  /** The face stands on the 112 x 112 template. */
  aligned: boolean;
  checksum: boolean;
  /** Of the picture's or background's stream, in parts of the picture's sides: 1, or less where it is coded smaller. */
  scale: number;
  /** Faces painted over the background. */
  layers: number;
  /** Shown without colour. */
  grey: boolean;
  payloadBytes: number;
  bytes: number;
}

/** 112 x 112 pixels, or 224 x 224 or 448 x 448 of a large face at a high quality. */
export interface Face extends Pixels {
  /** From these pixels to the picture's: two rows of three, integers being pixel centres. */
  matrix: number[];
  quality: number;
}

export interface Levels {
  rows: number;
  columns: number;
  /** 0 (fine) to 2 (pooled), a region after the other. */
  data: Uint8Array;
}

export interface EncodeOptions {
  /** 1 to 100; 40 by default. */
  quality?: number;
  /** The largest quality whose file has at most so many bytes; `quality` is not read. */
  maxBytes?: number;
  /** The face stands on the template, or not; left out: whichever is smaller. */
  aligned?: boolean;
  /** True by default. */
  checksum?: boolean;
  /** "full": a picture is never coded smaller than it is; "auto" by default. */
  resolution?: "auto" | "full";
}

export interface DecodeOptions {
  /** Larger pictures are refused; 50,000,000 by default. */
  maxPixels?: number;
}

/** What lfic refuses. */
export class LficError extends Error {
  /** As in lfic.h. */
  status: number;
  kind: string;
}

export class Codec {
  private constructor();
  probe(file: Uint8Array, options?: DecodeOptions): Info;
  decode(file: Uint8Array, options?: DecodeOptions): Pixels;
  faces(file: Uint8Array): Face[];
  levels(file: Uint8Array): Levels;
  fileOfBare(bare: Uint8Array): Uint8Array;
  encode(pixels: Pixels, options?: EncodeOptions): Uint8Array;
  /** Give the model's memory back; nothing else may be called afterwards. */
  close(): void;
}

/** Load the module and a model; both lie beside lfic.js unless told otherwise. */
export function load(from?: { wasm?: Source; weights?: Source }): Promise<Codec>;
