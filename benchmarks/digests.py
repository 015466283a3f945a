"""One table: what every kind of machine makes of the golden files, by SHA-256 of pixels and of files made of them.

    make digests            or   python benchmarks/digests.py [--out TABLE.md]

x86-64 by the scalar code and by AVX2, AArch64 and the big-endian s390x under qemu-user (Debian's g++-aarch64-linux-gnu,
g++-s390x-linux-gnu, qemu-user-static), WebAssembly in Node and in Chromium (emscripten). What is not installed has a
row that says so. The exit status is 1 where any two differ.
"""

import argparse
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
BUILD = ROOT / "build" / "digests"
FILES = ("face-q1", "face-q40", "face-q100", "wide", "photo", "v2-wide", "v2-smaller", "v2-photo")
MODELS = ("face-v1", "face-v2")
FOLDERS = ("coder", "compose", "format", "network", "rap", "capi")
JS = """
const rgb = ({ data }) => data.filter((_, i) => i % 4 < 3);
const sha = async (bytes) => Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)),
                                        (b) => b.toString(16).padStart(2, "0")).join("").slice(0, 16);
const out = [];
for (const hex of files) {
  const picture = codec.decode(Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16)));
  out.push([await sha(rgb(picture)), await sha(codec.encode(picture))]);
}
"""


def golden() -> list[pathlib.Path]:
    """The files that every machine is given."""
    return [ROOT / "tests" / "data" / "golden" / f"{name}.lfic" for name in FILES]


def definitions() -> list[str]:
    """The digests that the shipped weights say, as the compiler is given them."""
    from lfic.format import weights

    names = {model: model.upper().replace("-", "_") for model in MODELS}
    return [f'-DLFIC_{name}_DIGEST="{weights.load_arrays(model)[1]["digest"]}"' for model, name in names.items()]


def merged() -> pathlib.Path:
    """The shipped weights in one file."""
    out = BUILD / "face-v2.safetensors"
    BUILD.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, ROOT / "csrc" / "wasm" / "weights.py", out], check=True)
    return out


def built(name: str, compiler: str) -> pathlib.Path:
    """The program digests, by a compiler."""
    folder = BUILD / name
    folder.mkdir(parents=True, exist_ok=True)
    objects = []
    sources = [path for part in FOLDERS for path in sorted((ROOT / "csrc" / part).glob("*.cpp"))]
    # The digests of the shipped weights are compiled in.
    shipped = [ROOT / "lfic" / "weights" / f"{model}.safetensors" for model in MODELS]
    depends = [*(ROOT / "csrc").rglob("*.hpp"), *shipped]
    newest = max(path.stat().st_mtime for path in depends)
    for source in [*sources, ROOT / "csrc" / "tests" / "digests.cpp"]:
        out = folder / f"{source.parent.name}-{source.stem}.o"
        objects.append(out)
        if not out.exists() or out.stat().st_mtime < max(newest, source.stat().st_mtime):
            flags = ["-std=c++17", "-O2", "-ffp-contract=off", "-Icsrc", *definitions()]
            subprocess.run([compiler, *flags, "-c", source, "-o", out], check=True, cwd=ROOT)
    subprocess.run([compiler, "-static", *objects, "-pthread", "-o", folder / "digests"], check=True)
    return folder / "digests"


def by_program(command: list[str | pathlib.Path], simd: str, weights: pathlib.Path) -> list[list[str]]:
    """[pixels, file] of each golden file."""
    done = subprocess.run([*command, simd, weights, *golden()], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return [line.split()[1:] for line in done.stdout.splitlines()]


def by_python() -> list[list[str]]:
    import numpy as np

    import lfic
    from lfic import encoding

    encoder = encoding.load("face-v2")
    assert encoder is not None
    out = []
    for path in golden():
        pixels = np.asarray(lfic.decode(path.read_bytes()).convert("RGB"))
        data = encoder.encode(pixels)
        out.append([hashlib.sha256(part).hexdigest()[:16] for part in (pixels.tobytes(), data)])
    return out


def files_in_js() -> str:
    return f"const files = {json.dumps([path.read_bytes().hex() for path in golden()])};\n"


def by_node(folder: pathlib.Path) -> list[list[str]]:
    script = 'import { load } from "./lfic.js";\nconst codec = await load();\n' + files_in_js() + JS
    (folder / "digests.mjs").write_text(script + "console.log(JSON.stringify(out));")
    done = subprocess.run(["node", "digests.mjs"], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    found: list[list[str]] = json.loads(done.stdout)
    return found


def by_chromium(folder: pathlib.Path) -> list[list[str]]:
    import browser

    with browser.served(folder / "page") as address, browser.Browser() as chromium:
        chromium.open(address)
        chromium.run("await lficPage.ready")
        script = "const { codec } = lficPage.state;" + files_in_js() + JS + "return out;"
        found: list[list[str]] = chromium.run(script)
        return found


def missing(*programs: str) -> str:
    """A row's words where something is not installed."""
    lacking = [name for name in programs if not shutil.which(name)]
    return f"not run: no {', '.join(lacking)}" if lacking else ""


def rows(weights: pathlib.Path, python: bool) -> dict[str, list[list[str]] | str]:
    """What each machine says, or why it says nothing."""
    out: dict[str, list[list[str]] | str] = {}
    if python:
        out["Python"] = by_python()
    native = built("native", "g++")
    for simd in ("scalar", "avx2", "auto"):
        try:
            out[f"x86-64, {simd}"] = by_program([native], simd, weights)
        except RuntimeError as error:
            out[f"x86-64, {simd}"] = f"not run: {error}"
    for name, triple in (("AArch64, NEON, qemu-user", "aarch64"), ("s390x, big-endian, qemu-user", "s390x")):
        compiler, machine = f"{triple}-linux-gnu-g++", f"qemu-{triple}-static"
        lacking = missing(compiler, machine)
        out[name] = lacking or by_program([machine, built(triple, compiler)], "auto", weights)
    out["AArch64, scalar, qemu-user"] = missing("aarch64-linux-gnu-g++", "qemu-aarch64-static") or by_program(
        ["qemu-aarch64-static", built("aarch64", "aarch64-linux-gnu-g++")], "scalar", weights
    )
    folder = BUILD / "wasm"
    lacking = missing("emcc", "node")
    if not lacking:
        environment = os.environ | {"PYTHON": sys.executable}
        subprocess.run([ROOT / "csrc" / "wasm" / "build.sh", folder], check=True, env=environment)
    out["WebAssembly SIMD, Node"] = lacking or by_node(folder)
    out["WebAssembly SIMD, Chromium"] = lacking or missing("chromium") or by_chromium(folder)
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, help="write the table there as well")
    parser.add_argument("--weights", type=pathlib.Path, help="other weights than the shipped ones, for the C++ builds")
    arguments = parser.parse_args()
    found = rows(arguments.weights or merged(), arguments.weights is None)
    ran = [row for row in found.values() if not isinstance(row, str)]
    lines = ["| machine | " + " | ".join(FILES) + " | files made |", "|---" * (len(FILES) + 2) + "|"]
    for name, row in found.items():
        if isinstance(row, str):
            lines.append(f"| {name} | {row} |" + " |" * len(FILES))
            continue
        made = hashlib.sha256("".join(file for _, file in row).encode()).hexdigest()
        lines.append(f"| {name} | " + " | ".join(pixels[:6] for pixels, _ in row) + f" | {made[:6]} |")
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n")
    equal = all(row == ran[0] for row in ran)
    print(f"\n{len(ran)} machines, " + ("all equal" if equal else "NOT EQUAL"))
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
