"""The main job in memory: which map goes into which step."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from DRAMLesionLib.images.geometry import Geometry
from DRAMLesionLib.images.volume import Volume, write_volume
from DRAMLesionLib.lesions.dram import predict_maps
from DRAMLesionLib.lesions.find import find_lesions
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.mask import segment_lesion, take_speckle_off, with_refined_dram
from DRAMLesionLib.lesions.networks.bundle import Model, SegmentationModel
from DRAMLesionLib.lesions.networks.description import (
    AttentionSettings,
    CRFSettings,
    ModelDescription,
    NetworkDescription,
)
from DRAMLesionLib.lesions.networks.dram_network import build_network
from DRAMLesionLib.lesions.networks.final_description import (
    SegmentationDescription,
    SegmentationNetworkDescription,
)
from DRAMLesionLib.lesions.networks.final_network import SegmentationNetwork
from DRAMLesionLib.lesions.options import Options
from DRAMLesionLib.lesions.probability import predict_lesion
from DRAMLesionLib.lesions.refined_dram import refine_dram
from DRAMLesionLib.lesions.run_models import CaseModels

SPACING = (4.0, 4.0, 4.0)
TINY = SegmentationNetworkDescription((2, 4, 4))


@pytest.fixture(scope="module")
def scan(tmp_path_factory) -> tuple[Volume, np.ndarray, Path]:
    """Two noisy lobes with a bright block, as a CT, as labels and as a file of lobes."""
    labels = np.zeros((20, 28, 32), np.uint8)
    labels[2:18, 3:25, 3:15], labels[2:18, 3:25, 17:29] = 3, 1
    hu = np.where(labels > 0, np.random.default_rng(0).normal(-820, 60, labels.shape), 40)
    hu[6:12, 8:16, 5:11] = -420
    x, y, z = labels.shape[::-1]
    geometry = Geometry((x, y, z), SPACING[::-1], (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    ct = Volume(hu.astype(np.int16), SPACING, geometry, "ct")
    path = tmp_path_factory.mktemp("scan") / "lobes.nii.gz"
    write_volume(labels, ct, path)
    return ct, labels, path


@pytest.fixture(scope="module")
def models() -> CaseModels:
    """Networks of random weights, whose maps are spread about their thresholds."""
    torch.manual_seed(3)
    description = ModelDescription(
        spacing_mm=SPACING,
        threshold=0.3,
        crf=CRFSettings(iterations=2, gaussian_weight=0.3, bilateral_weight=0.3),
        network=NetworkDescription((4, 4, 4, 4, 4, 4)),
        attention=AttentionSettings(channels=2),
    )
    dram = build_network(description).eval()
    head = [parameter for name, parameter in dram.named_parameters() if "final_conv" in name]
    with torch.no_grad():
        head[0].mul_(8)  # spread the map about the threshold
        head[1].fill_(-0.8)
    final = SegmentationDescription(
        spacing_mm=SPACING, patch=(16, 16, 16), threshold=0.45, dram_share=0.4, network=TINY
    )
    network = SegmentationNetwork(TINY).eval()
    return CaseModels(
        Model("d", "1", Path(), "0", description, dram),
        SegmentationModel("f", "1", Path(), "0", final, network),
    )


def by_hand(models: CaseModels, ct: Volume, labels: np.ndarray, source: str) -> np.ndarray:
    """The CRF on one of the network's maps, nothing else."""
    given = (models.dram.network, models.dram.description, ct.array, labels, ct.spacing_mm)
    maps = predict_maps(*given)
    return refine_dram(getattr(maps, source), ct.array, ct.spacing_mm, labels, models.dram.description)


def test_the_map_is_attended_then_refined_by_the_crf_then_cut(scan, models):
    ct, labels, lobes = scan
    found = find_lesions(ct, models.dram, Options(lobes=lobes, allow_missing_lobes=True))
    expected = by_hand(models, ct, labels, "attended")
    unattended = by_hand(models, ct, labels, "dram")
    plain = find_lesions(ct, models.dram, Options(lobes=lobes, allow_missing_lobes=True, crf=False))
    threshold = models.dram.description.threshold
    for other in (unattended, plain.refined):  # they can be told apart
        assert np.abs(expected - other).max() > 0.01
    take_speckle_off(expected, labels, threshold, ct.spacing_mm)
    np.testing.assert_array_equal(found.refined, expected)
    np.testing.assert_array_equal(found.lesion, segment_lesion(expected, labels, threshold))


def test_the_final_network_and_the_refined_map_make_the_mask_together(scan, models):
    ct, labels, lobes = scan
    final = models.final.description
    found = find_lesions(ct, models, Options(lobes=lobes, allow_missing_lobes=True))
    alone = predict_lesion(models.final.network, final, ct.array, labels, ct.spacing_mm)
    together = with_refined_dram(
        alone,
        final.threshold,
        by_hand(models, ct, labels, "attended"),
        models.dram.description.threshold,
        final.dram_share,
    )
    assert np.abs(together - alone).max() > 0.01
    take_speckle_off(together, labels, final.threshold, ct.spacing_mm)
    np.testing.assert_array_equal(found.probability, together)
    np.testing.assert_array_equal(found.lesion, segment_lesion(together, labels, final.threshold))


def test_without_the_crf_the_final_network_makes_the_mask_alone(scan, models):
    ct, labels, lobes = scan
    final = models.final.description
    found = find_lesions(ct, models, Options(lobes=lobes, allow_missing_lobes=True, crf=False))
    alone = predict_lesion(models.final.network, final, ct.array, labels, ct.spacing_mm)
    take_speckle_off(alone, labels, final.threshold, ct.spacing_mm)
    np.testing.assert_array_equal(found.probability, alone)
    assert found.record["settings"]["crf"]["enabled"] is False


def test_the_mask_is_told_before_the_map_is_made_where_it_does_not_wait_for_it(scan, models):
    ct, _, lobes = scan
    stages: list[str] = []
    masks: list[np.ndarray] = []

    def tell(mask: np.ndarray) -> None:
        masks.append(mask.copy())
        stages.append("mask")

    def run(share: float) -> Findings:
        stages.clear()
        final = replace(models.final, description=replace(models.final.description, dram_share=share))
        return find_lesions(
            ct,
            CaseModels(models.dram, final),
            Options(lobes=lobes, allow_missing_lobes=True),
            progress=lambda stage, _: stages.append(stage),
            outline=tell,
        )

    found = run(0.0)
    assert stages.index("mask") < stages.index("Computing the dRAM")
    np.testing.assert_array_equal(masks[0], found.lesion)
    run(0.4)
    assert "mask" not in stages, "the map counts in it: it comes with the results"


@pytest.mark.parametrize("beside", [True, False])
def test_what_a_scene_shows_is_told_before_all_is_known_as_it_will_be(scan, models, beside):
    ct, _, lobes = scan
    told: list[Findings] = []
    stages: list[str] = []

    def take(findings: Findings) -> None:
        told.append(replace(findings, dram=findings.dram.copy(), lesion=findings.lesion.copy()))
        stages.append("known")

    def run(share: float) -> Findings:
        final = replace(models.final, description=replace(models.final.description, dram_share=share))
        return find_lesions(
            ct,
            CaseModels(models.dram, final),
            Options(lobes=lobes, allow_missing_lobes=True),
            progress=lambda stage, _: stages.append(stage),
            known=take,
            beside=beside,
        )

    found, early = run(0.0), told.pop()
    assert stages.count("known") == 1
    assert (stages.index("known") < stages.index("Computing the dRAM")) == beside
    assert beside or stages.index("known") > stages.index("Refining the dRAM")
    np.testing.assert_array_equal(early.map, found.map)
    np.testing.assert_array_equal(early.lesion, found.lesion)
    assert early.lobes is found.lobes and early.ct is found.ct
    counted = [replace(region, dram_percent=None) for region in found.quantification.regions]
    assert list(early.quantification.regions) == counted
    run(0.4)
    assert not told, "the map counts in the mask"
