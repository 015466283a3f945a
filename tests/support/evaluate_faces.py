"""Small stand-ins for face data: public-domain pictures, pairs over them, and a tiny deterministic recogniser."""

import numpy as np
import torch
from PIL import Image


def crops(people=6, images=3, seed=0):
    """uint8 [people * images, 112, 112, 3] and names PERSON_0001.png: windows of the astronaut picture, moved and lit a
    little."""
    from skimage import data

    picture, generator, out, names = data.astronaut(), np.random.default_rng(seed), [], []
    for person in range(people):
        y, x = generator.integers(20, 370, 2)
        for k in range(images):
            dy, dx = generator.integers(-4, 5, 2)
            window = picture[y + dy : y + dy + 112, x + dx : x + dx + 112].astype(np.float32)
            out.append(
                np.clip(window * generator.uniform(0.9, 1.1) + generator.normal(0, 2, window.shape), 0, 255).astype(
                    np.uint8
                )
            )
            names.append(f"Person{person}_{k + 1:04d}.png")
    return np.stack(out), names


def write_folder(folder, people=6, images=3):
    """Those crops as PNG files, and a pairs file of two folds -> (folder of images, pairs file)."""
    pixels, names = crops(people, images)
    (folder / "images").mkdir()
    for image, name in zip(pixels, names):
        Image.fromarray(image).save(folder / "images" / name)
    lines, half = [], people // 2
    for fold in range(2):
        members = range(fold * half, (fold + 1) * half)
        lines += [f"Person{p}\t1\t2" for p in members]
        lines += [f"Person{p}\t{1 + fold}\tPerson{(p + 1) % people}\t2" for p in members]
    (folder / "pairs.txt").write_text(f"2\t{half}\n" + "\n".join(lines) + "\n")
    return folder / "images", folder / "pairs.txt"


class TinyRecognizer(torch.nn.Module):
    """Pixels float [N, 3, 112, 112] in 0..255 -> [N, 32]: a fixed random projection of filtered, pooled pixels."""

    def __init__(self, pooled=7):
        super().__init__()
        self.pooled = pooled
        generator = torch.Generator().manual_seed(3)
        self.conv = torch.nn.Conv2d(3, 8, 7, stride=4, padding=3)
        self.project = torch.nn.Linear(8 * pooled * pooled, 32)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=generator) * 0.1)

    def forward(self, x):
        y = torch.tanh(self.conv(x / 127.5 - 1.0))
        y = torch.nn.functional.adaptive_avg_pool2d(y, (self.pooled, self.pooled)).flatten(1)
        return self.project(y - y.mean(1, keepdim=True))


def write_recognizer(path, pooled=7):
    torch.jit.script(TinyRecognizer(pooled).eval()).save(str(path))
    return path
