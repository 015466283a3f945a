"""lfic in Node and in a real browser: the same pixels and bytes as Python's integers, to the last bit."""

import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys

import browser
import numpy as np
import pytest
from integer_encoder import encoded
from PIL import Image

import lfic
from lfic import encoding

pytestmark = pytest.mark.slow  # emscripten compiles for half a minute

ROOT = pathlib.Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "data" / "golden"
SCREENSHOTS = os.environ.get("LFIC_SCREENSHOTS")  # a folder where those of the page are kept


def needed(found, what):
    if not found:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no {what} on this machine: apt-get install {what}")


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The npm-ready folder, built."""
    needed(shutil.which("emcc"), "emscripten")
    folder = tmp_path_factory.mktemp("wasm")
    done = subprocess.run(
        [ROOT / "csrc" / "wasm" / "build.sh", folder],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHON": sys.executable},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def page(package):
    """A browser that shows the page, loaded."""
    needed(browser.chromium(), "chromium")
    with browser.served(package / "page") as address, browser.Browser() as chromium:
        chromium.open(address)
        chromium.run("await lficPage.ready")
        yield chromium


def digest(pixels):
    """Of pixels uint8 [H, W, 3]."""
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def golden():
    """{name: bytes} of files of every kind."""
    return {path.stem: path.read_bytes() for path in sorted(GOLDEN.glob("*.lfic"))}


def test_sizes(package):
    """Under 1 MB of code, jsQR and all; the model is fetched once beside it."""
    code = [p for p in (package / "page").rglob("*") if p.suffix in (".js", ".wasm", ".html", ".css")]
    assert len(code) >= 6 and sum(p.stat().st_size for p in code) < 1_000_000
    names = json.loads((package / "package.json").read_text())["files"]
    assert all((package / name).is_file() for name in names)
    assert json.loads((package / "package.json").read_text())["version"] == lfic.__version__
    assert (package / "face-v2.safetensors").stat().st_size < 18.5e6


NODE = """
import { load, LficError } from "./lfic.js";
import { readFile } from "node:fs/promises";
import { createHash } from "node:crypto";
const codec = await load();
const rgb = ({ data }) => Buffer.from(data.filter((_, i) => i % 4 < 3));
const sha = (bytes) => createHash("sha256").update(bytes).digest("hex");
const out = { decoded: {}, encoded: {}, faces: {}, probed: {}, refused: [] };
const { golden, pictures, bad } = JSON.parse(await readFile(process.argv[2], "utf8"));
for (const [name, hex] of Object.entries(golden)) {
  const file = Uint8Array.from(Buffer.from(hex, "hex"));
  const picture = codec.decode(file);
  out.decoded[name] = [picture.width, picture.height, sha(rgb(picture))];
  out.probed[name] = codec.probe(file);
  out.probed[name].levels = Array.from(codec.levels(file).data);
  out.faces[name] = codec.faces(file).map((face) => [face.matrix, face.quality, sha(rgb(face))]);
}
for (const [name, { width, height, hex, options }] of Object.entries(pictures)) {
  const data = new Uint8ClampedArray(Buffer.from(hex, "hex"));
  out.encoded[name] = Buffer.from(codec.encode({ width, height, data }, options)).toString("hex");
}
for (const hex of bad)
  try {
    codec.decode(Uint8Array.from(Buffer.from(hex, "hex")));
    out.refused.push("read");
  } catch (error) {
    out.refused.push(error instanceof LficError ? error.message : `fault: ${error}`);
  }
const bare = codec.fileOfBare(Uint8Array.from([39, 1, 2, 3]));
out.bare = Buffer.from(bare).toString("hex");
codec.close();
console.log(JSON.stringify(out));
"""


def test_node_gives_the_same_integers(package, tmp_path, face, photo):
    needed(shutil.which("node"), "nodejs")
    (package / "check.mjs").write_text(NODE)
    files = golden()
    pictures = {
        "face": (face, {"quality": 40}),
        "least": (face, {"quality": 1, "aligned": False, "checksum": False}),
        "bytes": (face, {"maxBytes": 200}),
        "odd": (photo(75, 121), {"quality": 77}),
        "large": (photo(300, 410), {"quality": 15, "resolution": "full"}),
        "smaller": (photo(300, 410), {"quality": 15}),
    }
    bad = [b"", b"\xfc", b"no", files["face-q40"][:-1], files["photo"] + b"x", files["face-q40"][:2] + b"\xff\0\0"]
    rgba = {n: np.dstack([p, np.full(p.shape[:2], 7, np.uint8)]) for n, (p, _) in pictures.items()}
    (tmp_path / "in.json").write_text(
        json.dumps(
            {
                "golden": {name: data.hex() for name, data in files.items()},
                "pictures": {
                    n: {"width": p.shape[1], "height": p.shape[0], "hex": p.tobytes().hex(), "options": pictures[n][1]}
                    for n, p in rgba.items()
                },
                "bad": [data.hex() for data in bad],
            }
        )
    )
    done = subprocess.run(
        ["node", "check.mjs", tmp_path / "in.json"], cwd=package, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    for name, data in files.items():
        expected = np.asarray(lfic.decode(data).convert("RGB"))
        assert found["decoded"][name] == [expected.shape[1], expected.shape[0], digest(expected)], name
        info = lfic.probe(data)
        says = found["probed"][name]
        assert (says["width"], says["height"], says["quality"]) == (info.width, info.height, info.quality)
        assert (says["levels"], says["payloadBytes"]) == (info.levels.ravel().tolist(), info.payload_bytes)
        assert says["scale"] == info.scale
        for (matrix, quality, sha), layer in zip(
            found["faces"][name], lfic.load_codec().decode_faces(data), strict=True
        ):
            assert np.allclose(np.reshape(matrix, (2, 3)), layer.matrix) and quality == layer.quality
            assert sha == digest(np.asarray(layer.image))
    for name, (pixels, options) in pictures.items():
        data = bytes.fromhex(found["encoded"][name])
        if "maxBytes" in options:
            info = lfic.probe(data)
            options = {"quality": info.quality, "aligned": info.aligned}
            assert len(data) <= 200 < len(encoded(pixels, info.quality + 1, info.aligned))
        if name == "smaller":
            assert lfic.probe(data).scale < 1 and data == encoding.load("face-v2").encode(pixels, **options)
            continue
        options.pop("resolution", None)
        assert data == encoded(pixels, **options), name
    for text, data in zip(found["refused"], bad, strict=True):
        with pytest.raises(lfic.LficError) as refused:
            lfic.decode(data)
        assert text == str(refused.value).removeprefix("stream 0 of the batch: ")
    assert found["bare"] == "fc3c50010203"


SEEN = """
const { pixels, file } = lficPage.state.seen;
const rgb = pixels.data.filter((_, i) => i % 4 < 3);
const canvas = document.getElementById("see-picture");
const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
const shown = data.filter((_, i) => i % 4 < 3);
const hex = async (bytes) => Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)),
                                        (b) => b.toString(16).padStart(2, "0")).join("");
const text = (id) => document.getElementById(id).textContent;
return { pixels: await hex(rgb), canvas: await hex(shown), bytes: text("see-bytes"), note: text("see-note"),
         size: file.length, ms: Number(text("see-ms")) };
"""


def seen_after(page, selector, path, words):
    """What the page shows once a file was given to it and its note has these words."""
    page.give_file(selector, path)
    page.run(
        f"""const stop = performance.now() + 30000;
        while (!document.getElementById("see-note").textContent.includes({json.dumps(words)})) {{
          if (performance.now() > stop) throw new Error(document.getElementById("see-note").textContent);
          await new Promise((done) => setTimeout(done, 20));
        }}"""
    )
    return page.run(SEEN)


def test_the_page_shows_the_pixels_of_python(page, tmp_path):
    for name in ("face-q40", "face-q1", "photo", "square", "one-pixel"):
        data = (GOLDEN / f"{name}.lfic").read_bytes()
        (tmp_path / f"{name}.lfic").write_bytes(data)
        found = seen_after(page, "#see-file", tmp_path / f"{name}.lfic", f"{name}.lfic:")
        expected = digest(np.asarray(lfic.decode(data).convert("RGB")))
        assert found["pixels"] == expected == found["canvas"], name
        assert found["size"] == len(data) and found["bytes"] == f"{len(data):,}" and found["ms"] >= 0
    (tmp_path / "bad.lfic").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    page.give_file("#see-file", tmp_path / "bad.lfic")
    page.run(
        """while (!document.getElementById("see-note").textContent.includes("checksum is"))
             await new Promise((done) => setTimeout(done, 20));"""
    )
    assert not page.complaints()


def test_the_slider_codes_as_python_does(page, face, tmp_path):
    Image.fromarray(face).save(tmp_path / "face.png")
    page.give_file("#make-file", tmp_path / "face.png")
    for quality in (5, 63):
        made = page.run(
            f"""const slider = document.getElementById("quality");
            slider.value = {quality};
            slider.dispatchEvent(new Event("input"));
            await new Promise((done) => setTimeout(done, 500));
            return Array.from(lficPage.state.made.file);"""
        )
        expected = encoded(face, quality)
        assert bytes(made) == expected
        shown = page.run("return document.getElementById('make-bytes').textContent")
        assert shown == f"{len(expected):,}"
    if SCREENSHOTS:
        page.screenshot(pathlib.Path(SCREENSHOTS) / "page.png", 1280, 950)
        page.screenshot(pathlib.Path(SCREENSHOTS) / "page-narrow.png", 420, 1500)


def test_a_qr_code_of_a_face(page, face, tmp_path):
    """A photo of a code, turned, blurred and shaded: its bytes are a file, or a bare stream."""
    segno = pytest.importorskip("segno")
    whole = lfic.encode(face, max_bytes=190, aligned=True, effort=0)
    bare = lfic.encode(face, max_bytes=150, aligned=True, effort=0, container="bare")
    shown = (("file", whole, lfic.decode(whole)), ("bare", bare, lfic.decode(bare, container="bare")))
    for name, data, expected in shown:
        out = io.BytesIO()
        segno.make(data, mode="byte", error="m", boost_error=False).save(out, kind="png", scale=6, border=6)
        code = Image.open(out).convert("L").rotate(7, expand=True, fillcolor=235, resample=Image.Resampling.BICUBIC)
        shade = np.linspace(0.7, 1, code.width)[None]
        Image.fromarray((np.asarray(code) * shade).astype(np.uint8)).save(tmp_path / f"{name}.jpg", quality=80)
        found = seen_after(page, "#see-file", tmp_path / f"{name}.jpg", f"QR code of {len(data)} bytes")
        assert found["pixels"] == digest(np.asarray(expected))


def test_the_page_works_without_a_network(page):
    """Everything that it needs was kept when it was first seen."""
    kept = page.run(
        """await navigator.serviceWorker.ready;
        const names = await caches.keys();
        const store = await caches.open(names[0]);
        return [names.length, (await store.keys()).length];"""
    )
    assert kept == [1, 11]
