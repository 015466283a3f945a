"""Compiles every kernel ahead of time, without a GPU, and prints what the compiler made of it as JSON.

    python tests/kernels/compile_kernels.py [NAME...] [--all] [--write] [--architecture 90]

Run without TRITON_INTERPRET. Launches are those of configs.py for C = 192 and a large batch. ``--all`` takes every
combination instead of those that the test takes, names pick single ones. ``--write`` raises and lowers budgets.json to
fit; kept from other versions of Triton are the larger register count and the smaller number of wide accesses. Needs
triton alone of the GPU's tools: its own ptxas, cuobjdump and nvdisasm.
"""

import argparse
import collections
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from lfic.kernels import configs
from lfic.kernels._region import SCAN, UNSPECIALIZED
from lfic.kernels.dense import rap_dense_backward_kernel, rap_dense_kernel
from lfic.kernels.offsets import rap_offsets_kernel
from lfic.kernels.quantize import rap_quantize_kernel
from lfic.kernels.tables import TILE, rap_table_kernel
from lfic.kernels.unpool import rap_unpool_backward_kernel, rap_unpool_kernel

TOOLS = pathlib.Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
BUDGETS = pathlib.Path(__file__).parent / "budgets.json"
ARCHITECTURES = (80, 90, 100)
TYPES = {"fp16": 2, "bf16": 2, "fp32": 4}
MODES = {"round": 0, "noise": 1, "seed": 2}
POINTERS = {
    "levels": "u8",
    "starts": "i32",
    "gain": "fp32",
    "step": "fp32",
    "quality": "i64",
    "seed": "i64",
    "indexes": "i16",
    "out": "i16",
    "tables": "i16",
    "symbols": "i16",
    "counts": "i64",
    "sums": "fp32",
    "other": "fp32",
}
FLOATS = ("y", "noise", "features", "grad_features", "grad_symbols", "grad_y", "grad")


# What the test compiles: every kernel, mode and element type once, partial grids (the larger code) before whole ones.
TESTED = {
    "offsets",
    "table_sums",
    "quantize-fp16-partial-indexed",
    "quantize-fp32-whole",
    "quantize-fp16-partial-tailless",
    "quantize-fp32-partial-tailless",  # the codec's own
    "dense-fp16-whole-round",
    "dense-bf16-partial-round",
    "dense-fp32-partial-seed",
    "dense-bf16-whole-noise",
    "dense-fp32-partial-noise-mixed",
    "dense_backward-bf16-partial",
    "dense_backward-fp32-whole",
    "dense_backward_tables-fp16-partial-round",
    "dense_backward_tables-fp32-partial-seed",
    "unpool-fp16-partial",
    "unpool-fp32-whole",
    "unpool_backward-fp16-partial",
    "dense-fp16-partial-round-oddC",
}
ONES = (
    "quantize-fp16-partial-indexed",
    "dense-fp32-partial-seed",
    "dense_backward_tables-fp32-partial-seed",
    "unpool-fp16-partial",
    "unpool_backward-fp16-partial",
)
TESTED |= {f"{name}-ones" for name in ONES}


def variants():
    """{name: (kernel, operation in configs.TABLE, element type, pointer types, constants, whether C divides by 16)}."""
    rows, block, _ = TILE
    sums = {"TABLES": 2, "ROWS": rows, "BLOCK": block}
    out = {
        "offsets": (rap_offsets_kernel, None, "fp32", POINTERS, {"BLOCK": 1024}, True),
        "table_sums": (rap_table_kernel, None, "fp32", POINTERS | {"out": "fp32"}, sums, True),
    }

    def add(name, kernel, constants, pointers=None):
        operation, element = name.split("-")[:2]
        floats = POINTERS | dict.fromkeys(FLOATS, element) | (pointers or {})
        out[name] = kernel, operation, element, floats, constants | {"PARTIAL": "-partial" in name}, True

    for element, grid in itertools.product(TYPES, ("partial", "whole")):
        name = f"{element}-{grid}"
        add(f"quantize-{name}", rap_quantize_kernel, {"INDEXED": False, "TAIL": True, "SCAN": SCAN})
        add(f"quantize-{name}-indexed", rap_quantize_kernel, {"INDEXED": True, "TAIL": True, "SCAN": SCAN})
        add(f"quantize-{name}-tailless", rap_quantize_kernel, {"INDEXED": False, "TAIL": False, "SCAN": SCAN})
        for mode, value in MODES.items():
            add(f"dense-{name}-{mode}", rap_dense_kernel, {"MODE": value, "MIXED": False}, {"symbols": element})
            if value:
                flags = {"MODE": value, "MIXED": True}
                add(f"dense-{name}-{mode}-mixed", rap_dense_kernel, flags, {"symbols": element})
            flags = {"MODE": value, "FEATURES": True, "SYMBOLS": True}
            flags |= {"TO_Y": True, "TO_GAIN": True, "TO_STEP": True}
            add(f"dense_backward_tables-{name}-{mode}", rap_dense_backward_kernel, flags)
        flags = {"MODE": 0, "FEATURES": True, "SYMBOLS": False, "TO_Y": True, "TO_GAIN": False, "TO_STEP": False}
        add(f"dense_backward-{name}", rap_dense_backward_kernel, flags)
        add(f"unpool-{name}", rap_unpool_kernel, {"SCAN": SCAN}, {"out": element})
        add(f"unpool_backward-{name}", rap_unpool_backward_kernel, {"SCAN": SCAN})
    # C that does not divide by 16: narrow accesses, but it compiles and spills nothing.
    out["dense-fp16-partial-round-oddC"] = *out["dense-fp16-partial-round"][:5], False
    # Triton compiles one channel into the code: fields of the tile are constants then.
    for name in ONES:
        kernel, operation, element, pointers, constants, _ = out[name]
        ones = {"channels": 1}
        out[f"{name}-ones"] = kernel, operation, element, pointers, constants | ones, False
    return out


def compiled(architecture, kernel, operation, element, pointers, constants, divisible, each=256):
    """One kernel for one architecture, as the launch in configs.py would have it."""
    warps, registers = 4, None
    if operation:
        row = max(known for known, _ in configs.TABLE if known <= architecture)
        launch = configs.TABLE[row, operation][TYPES[element] == 4]
        channels = constants.get("channels", 192 if divisible else 193)
        rows, block, warps, registers = configs.tile(launch, channels, 1 << 20, each)
        constants = constants | {"ROWS": rows, "BLOCK": block}
    signature, values, attributes = {}, {}, {}
    for i, name in enumerate(kernel.arg_names):
        if name in constants:
            signature[name], values[(i,)] = "constexpr", constants[name]
        else:
            signature[name] = "*" + pointers[name] if name in pointers else "i32"
            if name not in UNSPECIALIZED and (name in pointers or (name == "channels" and divisible)):
                attributes[(i,)] = [["tt.divisibility", 16]]
    source = ASTSource(fn=kernel, signature=signature, constexprs=values, attrs=attributes)
    return triton.compile(
        source,
        target=GPUTarget("cuda", architecture, 32),
        options={"num_warps": warps, "maxnreg": registers, "enable_fp_fusion": False},
    )


def cuobjdump(cubin, *options):
    environment = os.environ | {"PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        [TOOLS / "cuobjdump", *options, cubin], capture_output=True, text=True, check=True, env=environment
    ).stdout


def facts(kernel):
    """What the machine code of a kernel uses: registers, stack, spills, shared memory, accesses by width, contracted
    multiply-adds."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        code = cuobjdump(file.name, "-res-usage", "-sass")
    registers, stack, local = map(int, re.search(r"REG:(\d+) STACK:(\d+) SHARED:\d+ LOCAL:(\d+)", code).groups())
    count = collections.Counter(
        re.findall(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?([A-Z][\w.]*)", code, re.MULTILINE)
    )
    wide = {
        kind: sum(n for name, n in count.items() if name.startswith(kind) and ".128" in name) for kind in ("LDG", "STG")
    }
    every = {
        kind: sum(n for name, n in count.items() if name.startswith(kind))
        for kind in ("LDG", "STG", "STL", "LDL", "FFMA", "DFMA", "BAR", "EXIT")
    }
    if not every["EXIT"]:
        raise RuntimeError("cuobjdump printed no instructions that could be read")
    return {
        "registers": registers,
        "stack": stack,
        "spills": local + every["STL"] + every["LDL"],
        "shared": kernel.metadata.shared,
        "barriers": every["BAR"],
        "loads": every["LDG"],
        "loads128": wide["LDG"],
        "stores": every["STG"],
        "stores128": wide["STG"],
        "contracted": every["FFMA"] + every["DFMA"] + len(re.findall(r"\bfma\.rn\.f", kernel.asm["ptx"])),
    }


def widened(budget, found):
    """Budget that holds for what was found as well."""
    registers = -(-found["registers"] // 8) * 8  # they are handed out by eight
    return {
        "registers": max(registers, budget.get("registers", 0)),
        "shared": max(found["shared"], budget.get("shared", 0)),
        "loads128": min(found["loads128"], budget.get("loads128", 1 << 20)),
        "stores128": min(found["stores128"], budget.get("stores128", 1 << 20)),
    }


def main():
    if os.environ.get("TRITON_INTERPRET", "0") == "1":
        sys.exit("unset TRITON_INTERPRET: the interpreter compiles nothing")
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--architecture", nargs="+", type=int, default=ARCHITECTURES, metavar="SM")
    args = parser.parse_args()
    if unknown := set(args.names) - set(variants()):
        parser.error(f"no variant {', '.join(sorted(unknown))}; there are {', '.join(variants())}")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TRITON_CACHE_DIR"] = cache  # what is reported was compiled now
        chosen = {name: variant for name, variant in variants().items() if args.all or name in (args.names or TESTED)}
        found = {
            f"sm_{architecture}-{name}": facts(compiled(architecture, *variant))
            for architecture in args.architecture
            for name, variant in chosen.items()
        }
    print(json.dumps({"triton": triton.__version__, "kernels": found}, indent=0))
    if args.write:
        budgets = json.loads(BUDGETS.read_text()) if BUDGETS.exists() else {}
        budgets |= {name: widened(budgets.get(name, {}), f) for name, f in found.items()}
        BUDGETS.write_text(
            "{\n" + ",\n".join(f'  "{k}": {json.dumps(v)}' for k, v in sorted(budgets.items())) + "\n}\n"
        )


if __name__ == "__main__":
    main()
