"""The maps that a study compares: each row's is what its name says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from DRAMLesionLib.images.geometry import Geometry
from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.lesions.dram import predict_maps
from DRAMLesionLib.lesions.mask import with_refined_dram
from DRAMLesionLib.lesions.networks.bundle import Model, SegmentationModel, save_model
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
from DRAMLesionLib.lesions.probability import predict_lesion
from DRAMLesionLib.lesions.refined_dram import refine_dram
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.training.data.datalist import Scan
from DRAMLesionLib.training.evaluation.study_masks import (
    LoadedScan,
    fit_line,
    lesion_map,
    load_row_model,
    threshold_map,
    threshold_of,
)
from DRAMLesionLib.training.evaluation.study_recipe import StudyRow
from DRAMLesionLib.training.recipes.settings import CamSettings
from DRAMLesionLib.training.tasks.cam_bundle import save_cam_model
from DRAMLesionLib.training.tasks.cam_network import CamModel, CamNetwork, segment_by_cam

SPACING = (4.0, 4.0, 4.0)
NETWORK = NetworkDescription((4, 4, 4, 4, 4, 4))
TINY = SegmentationNetworkDescription((2, 4, 4))


@pytest.fixture(scope="module")
def one() -> LoadedScan:
    labels = np.zeros((16, 20, 24), np.uint8)
    labels[2:14, 3:17, 2:11], labels[2:14, 3:17, 13:22] = 3, 1
    hu = np.where(labels > 0, np.random.default_rng(0).normal(-800, 80, labels.shape), 40).astype(np.int16)
    x, y, z = labels.shape[::-1]
    geometry = Geometry((x, y, z), SPACING[::-1], (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    ct = Volume(hu, SPACING, geometry, "ct")
    return LoadedScan("training", Scan(Path("ct"), Path("lobes")), ct, labels, (hu > -700).astype(np.uint8))


@pytest.fixture(scope="module")
def teacher() -> Model:
    torch.manual_seed(3)
    description = ModelDescription(
        spacing_mm=SPACING,
        threshold=0.3,
        crf=CRFSettings(iterations=2, gaussian_weight=0.3, bilateral_weight=0.3),
        network=NETWORK,
        attention=AttentionSettings(channels=2),
    )
    network = build_network(description).eval()
    head = [parameter for name, parameter in network.named_parameters() if "final_conv" in name]
    with torch.no_grad():
        head[0].mul_(8)
        head[1].fill_(-0.8)
    return Model("teacher", "1", Path(), "0", description, network)


@pytest.fixture(scope="module")
def final() -> SegmentationModel:
    torch.manual_seed(4)
    description = SegmentationDescription(
        spacing_mm=SPACING, patch=(16, 16, 16), threshold=0.45, dram_share=0.4, network=TINY
    )
    return SegmentationModel("f", "1", Path(), "0", description, SegmentationNetwork(TINY).eval())


def test_rows_of_the_dram_read_the_map_after_each_step(one, teacher):
    ct, wanted = one.ct, teacher.description
    maps = predict_maps(teacher.network, wanted, ct.array, one.lobes, SPACING)
    expected = {
        "dram": maps.dram,
        "attention": maps.attended,
        "crf": refine_dram(maps.attended, ct.array, SPACING, one.lobes, wanted),
    }
    for mask, values in expected.items():
        np.testing.assert_array_equal(lesion_map(mask, teacher, one, "cpu"), values)
        for other in expected:
            assert other == mask or np.abs(values - expected[other]).max() > 0.01


def test_the_final_network_s_row_is_its_probability_and_the_combined_one_has_its_teacher_s_map(
    one, teacher, final
):
    ct = one.ct
    alone = predict_lesion(final.network, final.description, ct.array, one.lobes, SPACING)
    np.testing.assert_array_equal(lesion_map("final", final, one, "cpu"), alone)
    refined = lesion_map("crf", teacher, one, "cpu")
    together = with_refined_dram(alone, 0.45, refined, 0.3, 0.4)
    np.testing.assert_array_equal(lesion_map("combined", final, one, "cpu", teacher), together)
    assert np.abs(together - alone).max() > 0.01


def test_the_threshold_sees_the_smoothed_ct(one):
    hu = np.full((15, 15, 15), -900, np.int16)
    hu[5:10, 5:10, 5:10] = 100  # large enough to stay above -600 HU after the Gaussian
    hu[12, 12, 12] = 400  # a single voxel of noise
    cut = threshold_map(hu)
    assert cut[7, 7, 7] == 1 and cut[12, 12, 12] == 0 and set(np.unique(cut)) == {0, 1}
    assert cut.dtype == np.float32
    np.testing.assert_array_equal(lesion_map("threshold", None, one, "cpu"), threshold_map(one.ct.array))


def test_the_cam_s_row_is_its_mask(one):
    torch.manual_seed(0)
    network = CamNetwork(NETWORK, CamSettings()).eval()
    model = CamModel("cam", ModelDescription(spacing_mm=SPACING, network=NETWORK), network)
    found = lesion_map("cam", model, one, "cpu")
    np.testing.assert_array_equal(found, segment_by_cam(model, one.ct, one.lobes)[0])
    assert found.dtype == np.float32


def test_a_map_is_cut_at_the_row_s_value_else_at_the_model_s_and_a_mask_at_one_half(teacher):
    assert threshold_of(StudyRow("a", "dram", cut=0.7), teacher) == 0.7
    assert threshold_of(StudyRow("a", "crf"), teacher) == 0.3
    assert threshold_of(StudyRow("a", "threshold"), None) == 0.5
    assert threshold_of(StudyRow("a", "cam"), teacher) == 0.5


def test_a_row_s_model_is_loaded_by_its_kind(tmp_path, teacher, final):
    words = {"version": "1", "card": "", "licence": "MIT"}
    more = {"summary": "", "data": ""}
    cam = save_cam_model(
        tmp_path / "cam",
        CamNetwork(NETWORK, CamSettings()),
        ModelDescription(network=NETWORK),
        name="c",
        **words,
    )
    dram = save_model(tmp_path / "d", teacher.network, teacher.description, name="d", **words, **more)
    last = save_model(tmp_path / "f", final.network, final.description, name="f", **words, **more)
    assert isinstance(load_row_model("cam", cam), CamModel)
    assert isinstance(load_row_model("crf", dram), Model)
    assert isinstance(load_row_model("final", last), SegmentationModel)


def test_the_straight_line_is_fitted_on_known_percentages_and_marks_the_densest_voxels(one):
    rng = np.random.default_rng(1)
    scans = []
    for share in (0.1, 0.3, 0.6):
        hu = np.full(one.lobes.shape, -860, np.int16)
        hu[:, :, : int(24 * share)] = -100
        hu = (hu + rng.normal(0, 5, hu.shape)).astype(np.int16)
        dense = ndimage.gaussian_filter(hu.astype(np.float32), 1.5) > -500
        percent = [None] * 5
        for lobe in (1, 3):
            percent[lobe - 1] = 100 * float(dense[one.lobes == lobe].mean()) * 0.5 + 2
        scan = replace(one.scan, percent=tuple(percent))
        scans.append(replace(one, scan=scan, ct=replace(one.ct, array=hu)))
    line = fit_line(scans)
    assert (line.offset, line.slope) == pytest.approx((2, 0.5), abs=1e-6)
    cut = lesion_map("line", None, scans[1], "cpu", line)
    for lobe in (1, 3):
        here = one.lobes == lobe
        assert 100 * cut[here].mean() == pytest.approx(scans[1].scan.percent[lobe - 1], abs=0.3)
    smooth = ndimage.gaussian_filter(scans[1].ct.array.astype(np.float32), 1.5)
    here = one.lobes == 3
    assert smooth[here & (cut > 0)].min() >= smooth[here & (cut == 0)].max()
    with pytest.raises(InputError, match="straight line"):
        fit_line([one])
