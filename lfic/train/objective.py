"""From a batch to the number that is minimised: bits + beta(quality) * distortion."""

import contextlib

import torch

from ..format.geometry import LEVELS, SIDE
from ..metric.hybrid import HybridMetric
from ..metric.identity import RecognizerEnsemble, identity_distance, load_recognizer
from ..metric.pixel import template_weight
from .levels import level_loss, region_costs


def load_recognizers(config, device):
    """The recogniser of the identity term, or several as one; None where there is none."""
    names = [config.recognizer] if isinstance(config.recognizer, str) else config.recognizer
    if not any(names):
        return None
    found = [load_recognizer(name, device) for name in names]
    return found[0] if len(found) == 1 else RecognizerEnsemble(found, config.recognizer_weights or None)


def beta(quality, config):
    """Weight of the distortion against one bit: exponential in the quality."""
    share = (quality.float() - 1) / 99
    return config.beta_low * (config.beta_high / config.beta_low) ** share


def pixel_weights(quality, config):
    """Weight of the pixel term beside identity, float [N]: exponential in the quality."""
    share = (quality.float() - 1) / 99
    return config.pixel_weight ** (1 - share) * (config.pixel_weight_high or config.pixel_weight) ** share


class TargetEmbeddings:
    """Embeddings of the originals; those of plain aligned crops are computed when first asked for, and kept."""

    def __init__(self, recognizer, faces):
        self.recognizer = recognizer
        self.known = torch.zeros(faces, 2, dtype=torch.bool)
        self.table = None

    @torch.no_grad()
    def __call__(self, pixels, index, flipped, plain):
        """Pixels float [n, 3, H, W]; index int64, flipped bool, plain bool [n], on the CPU -> float [n, D]."""
        side = flipped.long()
        new = ~plain | ~self.known[index, side]
        if new.any():
            fresh = pixels[new.to(pixels.device)]
            # Sums depend on the size of a batch in their last bits. One by one, a resumed run finds the same; a GPU
            # promises no such thing.
            embedding = (
                self.recognizer(fresh) if fresh.is_cuda else torch.cat([self.recognizer(one[None]) for one in fresh])
            )
            if self.table is None:
                self.table = torch.zeros(*self.known.shape, embedding.shape[1], device=pixels.device)
            keep = plain[new]
            self.table[index[new][keep], side[new][keep]] = embedding[keep.to(pixels.device)]
            self.known[index[new][keep], side[new][keep]] = True
        out = self.table[index, side]
        if not plain.all():
            out[~plain] = embedding[~plain[new]]
        return out


class Objective:
    """The loss of a step.

    Args:
        recognizer: as for ``HybridMetric``, or None.
        adversary: ``Adversary``, or None.
        faces: how many the data has.
    """

    def __init__(self, config, world, recognizer, faces, adversary=None):
        self.config, self.world, self.adversary = config, world, adversary
        self.metric = HybridMetric(
            recognizer,
            pixel_weight=config.pixel_weight,
            identity_weight=config.identity_weight / config.identity_share,
            adversarial=adversary.metric if adversary else None,
            feature_weight=config.feature_weight / config.identity_share if recognizer is not None else 0,
            texture_weight=config.texture_weight,
        ).to(world.device)
        self.targets = TargetEmbeddings(recognizer, faces) if recognizer is not None else None
        self.weight_map = template_weight(config.face_floor).to(world.device)
        self.everywhere = torch.ones(1, 1, SIDE, SIDE, device=world.device)

    def autocast(self):
        """The precision of the transforms."""
        if self.config.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.world.device.type, torch.bfloat16)

    def phase(self, step):
        """(explore, hard, identity_on, entropy_only): what a step depends on, its batch aside."""
        config = self.config
        entropy_only = step >= config.entropy_step
        hard = entropy_only or step >= config.hard_from * config.steps
        return (
            0.5 if step < config.explore_until else config.explore,
            hard,
            self.targets is not None and step >= config.identity_from,
            entropy_only,
        )

    def __call__(self, net, batch, step):
        """(loss, figures: dict of 0-d tensors, ``TrainingOutput``) of a batch on the device."""
        config, aligned = self.config, batch.aligned
        explore, hard, identity_on, entropy_only = self.phase(step)
        b = beta(batch.quality, config)
        # Rates differ by a factor of 20 between the ends: this keeps their gradients comparable.
        scale = 600 * (b / config.beta_low) ** 0.4
        with self.autocast():
            out = net(
                batch.pixels,
                batch.quality,
                aligned,
                explore,
                batch.uniform_level,
                hard,
                self.world.draw,
                not (entropy_only or config.levels_only),
            )
        if entropy_only:
            loss = (out.bits / scale).mean()
            return loss, self.figures(loss, out), out
        seen = batch.identity & identity_on
        target = identity_weight = None
        static = (
            config.graphs and identity_on
        )  # nothing that a captured graph could not do: no look at a tensor, no shape that depends on one
        if static:
            with torch.no_grad():
                target = self.targets.recognizer(batch.pixels)
            identity_weight = config.identity_weight * aligned
        elif identity_on and not (config.feature_weight or config.levels_only) and seen.any():
            at = seen.cpu()
            target = self.targets(batch.pixels[seen], batch.index[at], batch.flipped[at], batch.plain[at])
        weight = torch.where(aligned[:, None, None, None], self.weight_map, self.everywhere)
        pixel_weight = torch.where(
            aligned & identity_on, pixel_weights(batch.quality, config), config.pixel_only_weight
        )
        if config.levels_only:
            loss = self.head_loss(
                net, out, batch, identity_on, b, pixel_weight, weight, scale, target if static else None
            )
            return loss, self.figures(loss, out), out
        judged = self.judges(step)
        terms = self.metric(
            out.pixels,
            batch.pixels,
            weight,
            self.adversary.levels(out) if judged else None,
            None if static else seen,
            target,
            pixel_weight,
            identity_weight,
            adversarial_weight=config.adversarial_weight if judged else 0,
        )
        loss = ((out.bits + b * terms.total) / scale).mean()
        head = self.head_loss(net, out, batch, identity_on, b, pixel_weight, weight, scale, target if static else None)
        loss = loss + head
        count = seen.sum().clamp(min=1)
        cosine, features = 1 - (terms.identity * seen).sum() / count, terms.features.sum() / count
        return loss, self.figures(loss - head, out, terms.pixel.mean(), cosine, features, terms.adversarial.mean()), out

    def head_loss(self, net, out, batch, identity_on, b, pixel_weight, weight, scale, embedding=None):
        """How far the head's choice is from the measured best, in a region of ``level_faces`` faces of the step: 0-d.

        embedding: of the originals, float [N, D], where they are known and all are looked at.
        """
        config, batch_size = self.config, self.config.batch
        every = max(1, batch_size // max(1, config.level_faces))
        chosen = torch.arange(batch_size) % every == 0
        at = self.world.rows(chosen).nonzero()[:, 0]
        if not (config.level_faces and len(at)):
            return out.logits.sum() * 0
        net = getattr(net, "module", net)  # what DistributedDataParallel wraps
        identity = None
        if embedding is not None:
            at = slice(None, None, every)

            def identity(shown):
                return (
                    config.identity_weight
                    * batch.aligned[at].repeat(LEVELS)
                    * identity_distance(self.targets.recognizer(shown), embedding[at].repeat(LEVELS, 1))
                )
        elif identity_on:
            faces = batch.aligned[at]
            known = at[faces.cpu()]
            targets = (
                self.targets(batch.pixels[known], batch.index[known], batch.flipped[known], batch.plain[known])
                if len(known)
                else None
            )

            def identity(shown):
                distances, some = shown.new_zeros(len(shown)), faces.repeat(LEVELS)
                if targets is not None:
                    distances[some] = config.identity_weight * identity_distance(
                        self.targets.recognizer(shown[some]), targets.repeat(LEVELS, 1)
                    )
                return distances

        # What the encoder will choose: levels drawn at random would have lost much of the person before the region is
        # looked at.
        levels = out.logits[at].detach().argmax(1).to(torch.uint8)
        regions = levels[0].numel()
        region = (
            (self.world.draw((len(out.logits),), device=out.logits.device)[at] * regions).long().clamp(max=regions - 1)
        )
        with self.autocast():
            costs = region_costs(
                net,
                out.features[at].detach(),
                levels,
                region,
                batch.pixels[at],
                batch.quality[at],
                batch.aligned[at],
                weight[at],
                b[at],
                pixel_weight[at],
                config.texture_weight,
                identity,
            )
        # Processes average their gradients: those of few measured faces are not to count more.
        return level_loss(out.logits[at], region, costs, scale[at]).sum() * (self.world.size / chosen.sum())

    def judges(self, step):
        """Does the adversary take part in a step?"""
        return self.adversary is not None and self.config.adversarial_from <= step < self.config.entropy_step

    def figures(self, loss, out, error=None, cosine=None, features=None, adversarial=None):
        """What is logged: dict of 0-d tensors, nan where nothing was measured."""
        nothing = loss.new_full((), float("nan"))
        levels = [(out.levels == level).float().mean() for level in range(LEVELS)]
        figures = {
            "loss": loss,
            "bytes": out.bits.mean() / 8,
            "psnr": nothing if error is None else -10 * torch.log10(error + 1e-9),
            "cos": nothing if cosine is None else cosine,
            "level1": levels[1],
            "level2": levels[2],
        }
        if self.config.feature_weight:
            figures["features"] = nothing if features is None else features
        if self.adversary:
            figures |= {"adversarial": nothing if adversarial is None else adversarial, "discriminator": nothing}
        return {name: figure.detach() for name, figure in figures.items()}
