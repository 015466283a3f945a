#!/bin/bash
# The browser's module: csrc compiled by emscripten (3.1.6 or later, Debian's `emscripten`) into an npm-ready folder.
#
#   csrc/wasm/build.sh [FOLDER]      build/wasm unless given: lfic.wasm beside lfic.js, its types, the model, the page
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-build/wasm}
python=${PYTHON:-python3}
[ -d /usr/share/nodejs ] && export NODE_PATH=${NODE_PATH:-/usr/share/nodejs}  # Debian's emcc looks for acorn there

objects=$out/objects
mkdir -p "$objects" "$out/page/vendor"
# No multiply-add is contracted, so that symbols are the same everywhere.
digest() {
    head -c 200000 "lfic/weights/$1.safetensors" | grep -aoE '"digest": ?"[0-9a-f]+"' | grep -oE '[0-9a-f]{64}'
}
flags=(-O3 -std=c++17 -msimd128 -ffp-contract=off -fwasm-exceptions -Wall -Wextra -Icsrc
    "-DLFIC_FACE_V1_DIGEST=\"$(digest face-v1)\"" "-DLFIC_FACE_V2_DIGEST=\"$(digest face-v2)\"")
pids=()
jobs_at_once=$(nproc)
for source in csrc/coder/*.cpp csrc/compose/*.cpp csrc/format/*.cpp csrc/network/*.cpp csrc/rap/*.cpp csrc/capi/*.cpp \
    csrc/wasm/*.cpp; do
    object=$objects/$(echo "${source#csrc/}" | tr / -).o
    newer=$(find csrc lfic/weights/face-v[12].safetensors \( -name '*.hpp' -o -name '*.safetensors' \) -newer "$object" \
        -print -quit 2>/dev/null || echo yes)
    [ "$object" -nt "$source" ] && [ -z "$newer" ] && continue
    emcc "${flags[@]}" -c "$source" -o "$object" &
    pids+=($!)
    if [ ${#pids[@]} -ge "$jobs_at_once" ]; then
        wait "${pids[0]}"
        pids=("${pids[@]:1}")
    fi
done
for pid in "${pids[@]}"; do wait "$pid"; done
emcc "${flags[@]}" --no-entry -s STANDALONE_WASM=1 -s ALLOW_MEMORY_GROWTH=1 -s MAXIMUM_MEMORY=4GB -s FILESYSTEM=0 \
    "$objects"/*.o -o "$out/lfic.wasm"

cp csrc/wasm/package/* LICENSE "$out/"
cp -r csrc/wasm/page/* "$out/page/"
cp tests/data/golden/face-q40.lfic "$out/page/face.lfic" && cp lfic/assets/astronaut.png "$out/page/face.png"
[ ! -e csrc/wasm/weights.py ] || "$python" csrc/wasm/weights.py "$out/face-v2.safetensors"
rm -f "$out/page/lfic.js" && cp "$out"/lfic.js "$out"/lfic.wasm "$out"/face-v2.safetensors "$out/page/"
store=$(cat "$out"/lfic.{js,wasm} "$out/face-v2.safetensors" "$out"/page/page.* | sha256sum | cut -c1-12)
sed -i "s/lfic-BUILD/lfic-$store/" "$out/page/offline.js"
