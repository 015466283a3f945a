"""Region levels by gradient feedback (the paper's RAP optimisation), at encode time.

With g the gradient of the distortion D at the decoder's features, changing region r to another level changes the loss
J = bits + beta * D by about

    (bits_r' - bits_r) + beta * <g_r, f_r' - f_r>

The most promising changes are then tried for real: the synthesis network gives D, the coder's own tables the bits, and
a change stays only if J falls.
"""
import numpy as np
import torch

from .metric.identity import identity_distance
from .rap import pooled_symbols, unpooled_features
from .transform import LEVELS

ROUNDS = {1: 1, 2: 3, 3: 8}  # rounds of gradient and trial
TRIALS = 8  # candidates that are tried for real in each round
# As the shipped model was trained: loss = bits + beta(quality) * (identity + PIXEL_WEIGHT * mse).
PIXEL_WEIGHT, PIXEL_ONLY_WEIGHT = 30.0, 60.0


def distortion(codec, pixels, original, target):
    """Float [N]: pixels and, where there is a recogniser, identity; range 0 upwards."""
    error = (pixels - original).square().mean((1, 2, 3))
    if target is None:
        return PIXEL_ONLY_WEIGHT * error
    return PIXEL_WEIGHT * error + identity_distance(codec.recognizer(pixels), target)


class Candidate:
    """The state of one face: everything that a trial needs."""

    def __init__(self, codec, draft, pixels):
        self.codec, self.draft = codec, draft
        self.q, self.a = codec._conditions(draft.quality, draft.aligned, 1)
        self.original = codec._tensor([pixels])
        with torch.no_grad():
            self.y = codec.net.analyse(self.original, self.q, self.a)
            recognise = codec.recognizer is not None and draft.aligned
            self.target = codec.recognizer(self.original) if recognise else None
            self.uniform = [self.features(np.full_like(draft.levels, level)) for level in range(LEVELS)]
        self.beta = beta(codec, draft.quality)

    def symbols(self, levels):
        return pooled_symbols(self.y, torch.from_numpy(levels)[None].to(self.y.device), self.codec.gain, self.q)[0]

    def features(self, levels):
        maps = torch.from_numpy(levels)[None].to(self.y.device)
        return unpooled_features([self.symbols(levels)], maps, self.codec.step, self.q, *self.draft.grid)

    def cell_bits(self, levels):
        """Bits of each region, float [rows, columns], and of the face."""
        draft = self.draft
        bits = self.codec.context.cost(self.symbols(levels), levels, *draft.grid, draft.quality, draft.aligned)
        return region_sums(bits, levels, *draft.grid), float(bits.sum())

    def map_bits(self, levels):
        """Bits that the level map costs: one payload with it, one without."""
        if (levels == levels.flat[0]).all():
            return 0.0
        draft, symbols = self.draft, self.symbols(levels)
        arguments = (symbols, levels, *draft.grid, draft.quality, draft.aligned)
        return 8.0 * (len(self.codec.context.encode(*arguments, True)) - len(self.codec.context.encode(*arguments, False)))

    @torch.no_grad()
    def losses(self, trials):
        """J of several level maps."""
        count = len(trials)
        maps = torch.from_numpy(np.stack(trials)).to(self.y.device)
        q, a = self.q.expand(count), self.a.expand(count)
        features = unpooled_features([self.symbols(t) for t in trials], maps, self.codec.step, q, *self.draft.grid)
        pixels = self.codec.net.synthesise(features, maps, q, a, self.draft.height, self.draft.width)
        target = None if self.target is None else self.target.expand(count, -1)
        d = distortion(self.codec, pixels, self.original.expand(count, -1, -1, -1), target).cpu().numpy()
        return [self.cell_bits(t)[1] + self.map_bits(t) + self.beta * float(v) for t, v in zip(trials, d)]

    def gradient(self, levels):
        """dD/df at the features of a level map: [1, C, h, w]."""
        maps = torch.from_numpy(levels)[None].to(self.y.device)
        features = self.features(levels).detach().requires_grad_(True)
        with torch.enable_grad():
            pixels = self.codec.net.synthesise(features, maps, self.q, self.a, self.draft.height, self.draft.width)
            d = distortion(self.codec, pixels, self.original, self.target).sum()
            return features.detach(), torch.autograd.grad(d, features)[0]


def beta(codec, quality):
    """Weight of the distortion against one bit, as in training (stored with the weights)."""
    low, high = codec.beta_range
    return low * (high / low) ** ((quality - 1) / 99)


def region_sums(bits, levels, height, width):
    """Bits per kept cell in coding order -> float64 [rows, columns]."""
    size = 1 << levels.astype(np.int64)
    rows, columns = np.indices(levels.shape)
    tall = np.minimum(4, height - 4 * rows)
    wide = np.minimum(4, width - 4 * columns)
    kept = (-(-tall // size) * -(-wide // size)).ravel()
    ends = np.cumsum(kept)
    total = np.concatenate([[0.0], np.cumsum(bits, dtype=np.float64)])
    return (total[ends] - total[ends - kept]).reshape(levels.shape)


def improve_levels(codec, drafts, pixels, effort):
    """Drafts of one size -> drafts with better region levels; deterministic."""
    return [improve_one(Candidate(codec, draft, image), ROUNDS[effort]) for draft, image in zip(drafts, pixels)]


def improve_one(face, rounds):
    """Greedy search for one face; see the module's docstring."""
    draft = face.draft
    starts = [draft.levels] + [np.full_like(draft.levels, level) for level in range(LEVELS)]
    losses = face.losses(starts)
    best = int(np.argmin(losses))
    levels, loss = starts[best].copy(), losses[best]
    uniform_bits = [face.cell_bits(np.full_like(levels, level))[0] for level in range(LEVELS)]
    for _ in range(rounds):
        if levels.size > 4096:  # a photo, not a face: a region's share is too small to try one by one
            break
        features, gradient = face.gradient(levels)
        bits, _ = face.cell_bits(levels)
        gains = []
        for level in range(LEVELS):
            inner = (gradient * (face.uniform[level] - features)).sum(1, keepdim=True)
            slope = region_totals(inner)[0, 0].cpu().numpy()
            gain = (uniform_bits[level] - bits) + face.beta * slope
            gains += [(gain[r], r, level) for r in np.ndindex(levels.shape) if levels[r] != level]
        gains.sort(key=lambda entry: entry[0])
        trials = []
        for _, r, level in gains[:TRIALS]:
            trial = levels.copy()
            trial[r] = level
            trials.append((trial, r, level))
        tried = face.losses([t for t, _, _ in trials])
        better = sorted((value, r, level) for value, (_, r, level) in zip(tried, trials) if value < loss)
        if not better:
            break
        # All that helped alone, together; if they don't add up, the best one alone.
        together = levels.copy()
        for _, r, level in reversed(better):
            together[r] = level
        joint = face.losses([together])[0]
        if joint < better[0][0]:
            levels, loss = together, joint
        else:
            loss, r, level = better[0]
            levels = levels.copy()
            levels[r] = level
    return type(draft)(draft.width, draft.height, draft.quality, draft.aligned, levels, face.symbols(levels))


def region_totals(x):
    """Sums over 4 x 4 regions: [N, 1, h, w] -> [N, 1, hr, wr]."""
    height, width = x.shape[-2:]
    padded = torch.nn.functional.pad(x, (0, -width % 4, 0, -height % 4))
    return torch.nn.functional.avg_pool2d(padded, 4) * 16
