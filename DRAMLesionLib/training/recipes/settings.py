"""The sections of a recipe, one dataclass for each kind of training."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from DRAMLesionLib.lesions.quantify import SCORE_EDGES
from DRAMLesionLib.system.checked_values import read_settings
from DRAMLesionLib.system.errors import InputError


@dataclass(frozen=True)
class DramSettings:
    """The section ``dram`` of a recipe.

    Attributes:
        softness_weight: Weight of :func:`~DRAMLesionLib.training.tasks.dram_losses.softness`.
        roughness_weight: Weight of :func:`~DRAMLesionLib.training.tasks.dram_losses.roughness`.
        priors_from: Fraction of the training after which the two begin to rise, 0..1.
        balance: What makes up for scores that few lobes have: ``loss`` weighs lobes by the frequency of their score, see
            :func:`~DRAMLesionLib.training.tasks.dram_losses.class_weights`; ``sampling`` lets lobes of each
            score come equally often.
        synthetic_share: Part of the samples that are healthy lobes with pasted lesions, 0..1; 0 where no lobe is healthy.
        synthetic_first: Fraction of the training that begins with these alone, 0..1.
        refinement_weight: Weight of the refined map's loss, where the model has attention; the regression's is 1.
        refinement_from: Fraction of the training after which it begins to rise, 0..1.
        target: What the refined map learns from: ``quantile``, the lobe's voxels with the highest values, as many as the
            known percentage says (``fixed`` where only a score is known); ``fixed``, those above the model's threshold.
        calibrate: Set the model's threshold at the end, so that the masks' percentages fit what is known of the training
            lobes best; False keeps the recipe's.
        crf: ``none``; ``target``: the refined map learns from what the CRF makes of it; ``layer``: the CRF's output is
            regressed, too, and its two weights learn.
    """

    softness_weight: float = 0.1
    roughness_weight: float = 0.03
    priors_from: float = 0.1
    balance: str = "none"
    synthetic_share: float = 0.4
    synthetic_first: float = 0.15
    refinement_weight: float = 0.5
    refinement_from: float = 0.3
    target: str = "quantile"
    calibrate: bool = True
    crf: str = "none"

    @classmethod
    def from_dict(cls, values: Any, where: str) -> "DramSettings":
        """Read and check the section.

        Raises:
            InputError: A key is unknown or wrong: it is named.
        """
        parts = ("priors_from", "synthetic_share", "synthetic_first", "refinement_from")
        bounds = dict.fromkeys(parts, (0.0, 1.0))
        choices = {
            "balance": ("none", "loss", "sampling"),
            "crf": ("none", "target", "layer"),
            "target": ("quantile", "fixed"),
        }
        return read_settings(cls, values, where, bounds, choices)


@dataclass(frozen=True)
class SegmentationSettings:
    """The section ``segmentation`` of a recipe.

    Attributes:
        patches_per_scan: Patches of each scan in an epoch.
        lesion_share: Part of the patches that lie about a lesion voxel, 0..1; the others lie about a lobe voxel without.
        dice_weight: Weight of the soft Dice loss; the cross entropy's is 1.
        edit_weight: Weight of a voxel that a person painted; a guessed one has 1.
        rotation: Largest rotation of a patch about each axis, in degrees.
        scaling: Largest relative change of size, 0..0.5.
        intensity: Strength of changes of brightness, contrast, noise and blur; 1 is usual, 0 is none.
        built_in_lungs: Every other patch sees the lobes in the outline of the built-in lungs, so that the network bears
            what they miss or have too much, see :mod:`~DRAMLesionLib.training.tasks.outlines`.
        flip_all: Patches are mirrored along all axes, not left to right alone.
        amount_weight: Weight of :func:`~DRAMLesionLib.training.tasks.segmentation_losses.amount_loss`.
        pasted_share: Part of the patches that come from lobes without lesion with pasted disease of any amount, see
            :mod:`~DRAMLesionLib.training.tasks.synthetic.disease`, 0..1; 0 where no lobe is healthy.
        transplant_share: Part of these that get lesions of another patch instead, 0..1.
        fit_amount: At the end fit what the map's mean over a lobe stands for to the known percentages and to pasted
            disease, see :func:`~DRAMLesionLib.training.tasks.amounts.fit_amount`: of the recipe's ``amount`` only
            ``sure`` stays; False keeps all of it.
    """

    patches_per_scan: int = 8
    lesion_share: float = 0.6
    dice_weight: float = 1.0
    edit_weight: float = 5.0
    rotation: float = 10.0
    scaling: float = 0.15
    intensity: float = 1.0
    built_in_lungs: bool = False
    flip_all: bool = False
    amount_weight: float = 0.0
    pasted_share: float = 0.0
    transplant_share: float = 0.0
    fit_amount: bool = False

    @classmethod
    def from_dict(cls, values: Any, where: str) -> "SegmentationSettings":
        """Read and check the section.

        Raises:
            InputError: A key is unknown or wrong: it is named as ``where.key``.
        """
        bounds = {
            "patches_per_scan": (1.0, 1e4),
            "lesion_share": (0.0, 1.0),
            "rotation": (0.0, 180.0),
            "scaling": (0.0, 0.5),
            "intensity": (0.0, 5.0),
            "pasted_share": (0.0, 1.0),
            "transplant_share": (0.0, 1.0),
        }
        return read_settings(cls, values, where, bounds)


@dataclass(frozen=True)
class LungSettings:
    """The section ``lungs`` of a recipe.

    Attributes:
        samples_per_scan: Samples of each scan in an epoch.
        size: Voxels (z, y, x) of a sample on the network's grid; about a whole chest.
        disease: Part of the samples that get pasted disease, 0..1.
        dense_weight: How much a voxel of dense lung, or of dense tissue beside lung, counts in the cross entropy.
        keep_statistics: Normalisation keeps the statistics that it starts with, for trainings that go on from a model
            with few samples per step.
    """

    samples_per_scan: int = 4
    size: tuple[int, int, int] = (160, 128, 160)
    disease: float = 0.75
    dense_weight: float = 1.0
    keep_statistics: bool = False

    @classmethod
    def from_dict(cls, values: Any, where: str) -> "LungSettings":
        """Read and check the section.

        Raises:
            InputError: A key is unknown or wrong: it is named as ``where.key``.
        """
        size = values.get("size", cls.size) if isinstance(values, dict) else cls.size
        if not (
            isinstance(size, list | tuple)
            and len(size) == 3
            and all(isinstance(n, int) and not isinstance(n, bool) and 16 <= n <= 1024 for n in size)
        ):
            raise InputError(f"{where}.size: {size!r} is not three whole numbers from 16 to 1024")
        rest = (
            {key: value for key, value in values.items() if key != "size"}
            if isinstance(values, dict)
            else values
        )
        bounds = {"samples_per_scan": (1.0, 1e4), "disease": (0.0, 1.0), "dense_weight": (0.0, 1e3)}
        read = read_settings(cls, rest, where, bounds)
        return replace(read, size=(size[0], size[1], size[2]))


@dataclass(frozen=True)
class WholeLungSettings:
    """The section ``amounts`` of a recipe.

    Attributes:
        final: The final network whose map it sees: a bundle's name or folder.
        samples: Samples in an epoch.
        pasted: How many lungs with pasted disease are made before the first epoch.
        variants: How often each scan is taken: in two outlines as it is, then as other scanners show it.
        real_share: Part of the samples that are scans with known percentages, 0..1.
        texture_share: Part of the pasted disease that looks like the lesions of a labelled scan, see
            :mod:`~DRAMLesionLib.training.tasks.synthetic.texture`, 0..1.
        healthy_share: Part of the lungs without lesion that stay without, 0..1.
        severe_share: Part of the lungs with pasted disease that are severe in all lobes, and as many have lobes of either
            kind, 0..0.5.
        amount_weight: Weight of the lobes' percentages beside the voxels' cross entropy.
    """

    final: str = "segmentation-covid"
    samples: int = 300
    pasted: int = 320
    variants: int = 14
    real_share: float = 0.35
    texture_share: float = 0.4
    healthy_share: float = 0.12
    severe_share: float = 0.35
    amount_weight: float = 1.0

    @classmethod
    def from_dict(cls, values: Any, where: str) -> "WholeLungSettings":
        """Read and check the section.

        Raises:
            InputError: A key is unknown or wrong: it is named as ``where.key``.
        """
        shares = ("real_share", "texture_share", "healthy_share")
        bounds = dict.fromkeys(shares, (0.0, 1.0)) | {"severe_share": (0.0, 0.5)}
        counts = dict.fromkeys(("samples", "pasted", "variants"), (1.0, 1e6))
        bounds |= {**counts, "amount_weight": (0.0, 1e3)}
        return read_settings(cls, values, where, bounds)


Classes = Literal["score", "presence"]


Shown = Literal["predicted", "severity"]


@dataclass(frozen=True)
class CamSettings:
    """How the CAM is made: the section ``cam`` of a recipe.

    Attributes:
        stages: Stages of the U-Net's encoder, 1 to 5. Each but the first halves the grid on which the map is made.
        classes: ``score``: the six severity scores; ``presence``: whether there is any lesion.
        shown: The class whose activation is the map. ``predicted``: the most probable one. ``severity``: all of them,
            each weighing as much as its score lies above the mean score, that is what raises the severity.
        balance: Weigh classes by the inverse of their frequency, in training.
    """

    stages: int = 2
    classes: Classes = "presence"
    shown: Shown = "severity"
    balance: bool = True

    @classmethod
    def from_dict(cls, values: Any, where: str) -> "CamSettings":
        """Read and check the settings.

        Raises:
            InputError: A key is unknown or wrong: it is named as ``where.key``.
        """
        return read_settings(cls, values, where, {"stages": (1, 5)})

    @property
    def count(self) -> int:
        """How many classes there are."""
        return len(SCORE_EDGES) + 1 if self.classes == "score" else 2

    def class_of(self, score: int) -> int:
        """The class of a lobe with a severity score of 0..5."""
        return score if self.classes == "score" else int(score > 0)
