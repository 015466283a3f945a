"""Find and align faces, and pack them into one safetensors file that a training run decodes into memory.

    python -m lfic.train.pack OUT.safetensors SOURCE[:LANDMARKS.npz] ... [--exclude-pairs pairs.txt] [--jpeg 92]

A source is a folder, a tar or a parquet file (lfic/train/sources.py), with the landmarks in it or in an .npz (``names``, ``landmarks``
float32 [N, 5, 2] in pixels). Images without any go through the face detector (lfic.faces), which takes the largest face of each.
A face is warped by the similarity transform of its five points onto the 112 x 112 template, plus MARGIN pixels on
every side for crop jitter, and stored as JPEG (``--jpeg`` quality, 4:4:4).
"""
import argparse
import io
import json
import pathlib

import numpy as np
from PIL import Image
from safetensors.numpy import save_file
from tqdm import tqdm

from ..errors import InvalidInputError

# Five-point template for 112 x 112 crops (left eye, right eye, nose, mouth corners), from the ArcFace code base.
TEMPLATE_112 = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float64
)
MARGIN = 8


def similarity_transform(source, target):
    """Least-squares similarity (Umeyama 1991) that maps source [K, 2] onto target [K, 2] -> float64 [2, 3]."""
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    ms, mt = source.mean(0), target.mean(0)
    s, t = source - ms, target - mt
    u, d, vt = np.linalg.svd(t.T @ s)
    sign = np.array([1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u * sign @ vt
    scale = (d * sign).sum() / (s**2).sum()
    matrix = scale * rotation
    return np.concatenate([matrix, (mt - matrix @ ms)[:, None]], 1)


def align(image, landmarks, margin=0):
    """Warp a PIL image so that landmarks [5, 2] (pixels) fall on the template -> RGB, 112 + 2 * margin a side.

    Faces that shrink are warped at twice the size and box-filtered, so that they don't alias.
    """
    matrix = similarity_transform(landmarks, TEMPLATE_112 + margin)
    side = 112 + 2 * margin
    factor = 2 if np.hypot(*matrix[:, 0]) < 0.75 else 1
    forward = np.vstack([matrix * factor, [0, 0, 1]])
    # PIL maps output pixel centres (x + 0.5) to input coordinates; landmarks are pixel centres at integers.
    half_out, half_in = np.eye(3), np.eye(3)
    half_out[:2, 2], half_in[:2, 2] = -0.5 * factor, 0.5
    inverse = half_in @ np.linalg.inv(forward) @ half_out
    image = image.convert("RGB")
    pad = max(image.size) // 2  # reflection instead of black where the template reaches beyond the picture
    padded = Image.fromarray(np.pad(np.asarray(image), ((pad, pad), (pad, pad), (0, 0)), mode="reflect"))
    inverse[:2, 2] += pad
    out = padded.transform((side * factor,) * 2, Image.Transform.AFFINE, tuple(inverse[:2].ravel()), Image.Resampling.BICUBIC)
    return out.reduce(factor) if factor > 1 else out


def people_in_pairs(path):
    """Names of everybody in a pairs.txt (LFW format)."""
    names = set()
    with open(path) as lines:
        next(lines)
        for line in lines:
            fields = line.split()
            names.update([fields[0]] if len(fields) == 3 else [fields[0], fields[2]])
    return names


def landmarks_of(image):
    """Landmarks [5, 2] of the largest face, by the detector; None where it finds none."""
    from ..faces import detect

    faces = detect(image)
    return faces[0].landmarks if faces else None


def main(argv=None):
    parser = argparse.ArgumentParser(prog="lfic.train.pack", description=__doc__.split("\n")[0])
    parser.add_argument("out")
    parser.add_argument("sources", nargs="+", metavar="SOURCE[:LANDMARKS]")
    parser.add_argument("--exclude-pairs", help="leave out every person that this pairs.txt names")
    parser.add_argument("--jpeg", type=int, default=95, help="JPEG quality of the packed crops (default 95)")
    args = parser.parse_args(argv)
    from .sources import Source, open_source

    excluded = people_in_pairs(args.exclude_pairs) if args.exclude_pairs else set()
    blobs, names, sources, faceless = [], [], [], 0
    for number, text in enumerate(args.sources):
        source = open_source(text)
        if not isinstance(source, Source):
            raise InvalidInputError(f"{text} is packed already")
        for i in tqdm(range(len(source)), desc=text):
            name = source.names[i]
            if pathlib.PurePath(name).name.rsplit("_", 1)[0] in excluded:
                continue
            image, landmarks = source.image(i)
            if landmarks is None:
                landmarks = landmarks_of(image)
            if landmarks is None:
                faceless += 1
                continue
            buffer = io.BytesIO()
            align(image, landmarks, MARGIN).save(buffer, "JPEG", quality=args.jpeg, subsampling=0)
            blobs.append(buffer.getvalue())
            names.append(name)
            sources.append(number)
    offsets = np.cumsum([0] + [len(b) for b in blobs]).astype(np.int64)
    save_file(
        {"bytes": np.frombuffer(b"".join(blobs), np.uint8), "offsets": offsets, "source": np.array(sources, np.uint8)},
        args.out,
        metadata={"names": json.dumps(names), "margin": str(MARGIN), "sources": json.dumps([s.rpartition("/")[2] for s in args.sources])},
    )
    print(f"{len(blobs)} faces, {offsets[-1] / 1e6:.1f} MB -> {args.out}" + (f"; {faceless} images without a face left out" if faceless else ""))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
