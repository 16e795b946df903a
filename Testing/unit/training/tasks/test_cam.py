"""The CAM baseline: the map against its definition, the class and the cut of each lobe, and a training of seconds."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from DRAMLesionLib.images.volume import Volume, from_image
from DRAMLesionLib.lesions.networks.bundle import WEIGHTS
from DRAMLesionLib.lesions.networks.bundle_folders import METADATA
from DRAMLesionLib.lesions.networks.description import ModelDescription, NetworkDescription
from DRAMLesionLib.phantom import make_phantom, save_phantom
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.training.recipes.settings import CamSettings
from DRAMLesionLib.training.tasks.cam_bundle import load_cam_model, save_cam_model
from DRAMLesionLib.training.tasks.cam_network import CamModel, CamNetwork, predict_cam, segment_by_cam

SMALL = NetworkDescription((4, 4, 4, 4, 4, 4))
SPACING = (2.5, 2.5, 2.5)


def network(**settings) -> CamNetwork:
    torch.manual_seed(0)
    return CamNetwork(SMALL, CamSettings(**{"classes": "score"} | settings)).eval()


def lobe(size=(32, 48, 32)) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    mask = torch.zeros(1, 1, *size, dtype=torch.bool)
    mask[:, :, 4:-4, 8:-8, 4:-4] = True
    return torch.rand(1, 1, *size) * mask, mask


class Brightness(CamNetwork):
    """A feature that is the image, and a lobe that counts as sick where its mean is above 0.2."""

    def __init__(self):
        super().__init__(SMALL, CamSettings(stages=1, classes="presence"))
        self.encoder = torch.nn.Identity()
        self.classifier = torch.nn.Linear(1, 2)
        with torch.no_grad():
            self.classifier.weight.copy_(torch.tensor([[0.0], [10.0]]))
            self.classifier.bias.copy_(torch.tensor([2.0, 0.0]))


def thorax() -> tuple[np.ndarray, np.ndarray]:
    """A healthy lobe (5) and one with a bright cube (2); box-shaped, 2.5 mm."""
    labels = np.zeros((40, 40, 48), np.uint8)
    labels[4:36, 4:36, 4:22] = 5
    labels[4:36, 4:36, 26:44] = 2
    hu = np.full(labels.shape, 40.0, np.float32)
    hu[labels > 0] = -870
    hu[10:26, 10:26, 28:42] = -300
    return hu, labels


def to_volume(hu: np.ndarray) -> Volume:
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing(SPACING[::-1])
    return from_image(image, "ct")


@pytest.mark.parametrize("stages", [1, 2, 3, 4])
def test_the_mean_of_a_class_s_map_is_its_logit_without_the_bias(stages):
    """What makes it a class activation map: pooling and the linear layer change places."""
    net = network(stages=stages, shown="predicted")
    image, _ = lobe()
    everywhere = torch.ones_like(image, dtype=torch.bool)  # so that the mean is one over all coarse voxels
    with torch.inference_mode():
        activation, logits = net.activation(image, everywhere)
    chosen = logits.argmax(1).item()
    assert activation.shape == image.shape
    # Interpolation to a multiple of the size keeps the mean but for what is cut off at the border.
    mean = activation.mean().item() + net.classifier.bias[chosen].item()
    spread = activation.std().item()
    tolerance = 1e-5 if stages == 1 else 0.2 * spread
    assert mean == pytest.approx(logits[0, chosen].item(), abs=tolerance)


def test_the_severity_map_weighs_classes_by_their_score():
    net = network(stages=2, shown="severity")
    image, mask = lobe()
    with torch.inference_mode():
        found, _ = net.activation(image, mask)
        features, _ = net._features(image, mask)
        brute = sum(
            (score - 2.5) * torch.einsum("c,bczyx->bzyx", net.classifier.weight[score], features)
            for score in range(6)
        )
        brute = torch.nn.functional.interpolate(brute[:, None], image.shape[2:], mode="trilinear")
    torch.testing.assert_close(found, brute, atol=1e-5, rtol=1e-4)


def test_what_lies_outside_the_lobe_is_not_pooled():
    net = Brightness()
    image, mask = lobe((32, 32, 32))
    mean = image[mask].mean().item()
    logits = net(image, mask)
    assert logits[0, 1].item() == pytest.approx(10 * mean, rel=1e-4)


@pytest.mark.parametrize("size", [(5, 9, 7), (33, 20, 49)])
def test_any_grid_goes_in(size):
    net = network(stages=4)
    image = torch.rand(2, 1, *size)
    with torch.inference_mode():
        activation, logits = net.activation(image, image > 0.3)
    assert activation.shape == image.shape and logits.shape == (2, 6)
    assert torch.isfinite(activation).all() and torch.isfinite(logits).all()


def test_each_sick_lobe_is_normalised_and_a_healthy_one_is_empty():
    hu, labels = thorax()
    cam = predict_cam(Brightness(), ModelDescription(), hu, labels, SPACING)
    assert cam.dtype == np.float32 and not cam[labels != 2].any()
    inside = cam[labels == 2]
    assert inside.min() == pytest.approx(0, abs=0.02) and inside.max() == pytest.approx(1, abs=0.02)


def test_otsu_cuts_out_the_bright_part():
    hu, labels = thorax()
    ct = to_volume(hu)
    lesion, cam = segment_by_cam(CamModel("b", ModelDescription(), Brightness()), ct, labels)
    truth = (hu == -300) & (labels == 2)
    assert (lesion & truth).sum() / (lesion | truth).sum() > 0.9
    assert lesion.dtype == np.uint8 and not lesion[labels == 5].any() and cam.shape == hu.shape


def test_dark_voxels_count_nothing_where_the_description_has_candidates():
    hu, labels = thorax()
    hu[10:14, 28:32, 28:32] = -830  # in the sick lobe, brighter than healthy lung, no candidate
    plain, cut = (
        predict_cam(Brightness(), ModelDescription(candidate_hu=c), hu, labels, SPACING)
        for c in (None, -700.0)
    )
    assert plain[12, 30, 30] > 0.01 > cut[12, 30, 30]
    assert cut[18, 20, 36] == pytest.approx(plain[18, 20, 36], abs=0.01)


def test_no_lobes_give_an_empty_map():
    hu, labels = thorax()
    assert not predict_cam(Brightness(), ModelDescription(), hu, labels * 0, SPACING).any()


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"stages": 6}, "cam.stages"),
        ({"stages": True}, "cam.stages"),
        ({"classes": "percent"}, "cam.classes"),
        ({"shown": 1}, "cam.shown"),
        ({"balance": 1}, "cam.balance"),
        ({"levels": 3}, "cam.levels"),
        (3, "cam: 3"),
    ],
)
def test_a_wrong_setting_is_named(values, named):
    with pytest.raises(InputError) as error:
        CamSettings.from_dict(values, "cam.yaml: cam")
    assert named in str(error.value)


@pytest.fixture
def bundle(tmp_path):
    description = ModelDescription(spacing_mm=(3, 2, 2), network=SMALL)
    return save_cam_model(
        tmp_path / "cam", network(stages=2), description, name="cam", version="1", card="# cam", licence="MIT"
    )


def test_what_is_saved_is_loaded(bundle):
    model, original = load_cam_model(bundle), network(stages=2)
    assert model.description.spacing_mm == (3, 2, 2) and model.network.settings == original.settings
    image, mask = lobe()
    with torch.inference_mode():
        torch.testing.assert_close(model.network(image, mask), original(image, mask))
    assert not model.network.training


def test_a_damaged_bundle_is_refused(bundle):
    content = bytearray((bundle / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (bundle / WEIGHTS).write_bytes(content)
    with pytest.raises(InputError, match="SHA-256"):
        load_cam_model(bundle)
    (bundle / WEIGHTS).unlink()
    with pytest.raises(InputError, match="model without weights"):
        load_cam_model(bundle)
    metadata = json.loads((bundle / METADATA).read_text())
    (bundle / METADATA).write_text(json.dumps(metadata | {"cam": {"stages": 9}}))
    with pytest.raises(InputError, match=r"cam\.stages"):
        load_cam_model(bundle)
    (bundle / METADATA).write_text("{}")
    with pytest.raises(InputError, match="no CAM model"):
        load_cam_model(bundle)


@pytest.fixture(scope="module")
def data_list(tmp_path_factory):
    """A phantom whose lobes have a score, one of them none."""
    folder = tmp_path_factory.mktemp("phantom")
    save_phantom(make_phantom((48, 48, 40), (7.2, 7.2, 7.2)), folder)
    rows = [{"image": "ct.nii.gz", "lobes": "lobes.nii.gz", "score": [0, 3, 1, None, 2]}]
    (folder / "list.json").write_text(json.dumps({"training": rows, "validation": rows}))
    return folder / "list.json"


def recipe(**cam):
    from DRAMLesionLib.training.recipes.recipe import recipe_from_dict

    model = {"spacing_mm": [7, 7, 7], "network": {"features": [2, 2, 2, 2, 2, 2]}}
    return recipe_from_dict({"task": "cam", "epochs": 1, "cam": cam, "model": model}, "recipe")


def test_the_task_sees_scores_and_percentages_as_classes(data_list):
    from DRAMLesionLib.system.progress import silent
    from DRAMLesionLib.training.tasks.cam import CamTask

    tasks = {
        classes: CamTask(recipe(classes=classes), data_list, torch.device("cpu"), silent)
        for classes in ("score", "presence")
    }
    targets = {c: [s.target for s in task._samples] for c, task in tasks.items()}
    assert targets == {"score": [0, 3, 1, 2], "presence": [0, 1, 1, 1]}
    weights = tasks["presence"]._class_weights().tolist()
    assert weights == pytest.approx([4 / 2 / 1, 4 / 2 / 3])  # the mean over the four lobes is 1
    task = tasks["score"]
    first, again, later = (task.sample(1, epoch) for epoch in (1, 1, 2))
    assert torch.equal(first.image, again.image) and not torch.equal(first.image, later.image)
    assert first.target == later.target == 3
    loss, parts = task.loss([first], 0.0)
    assert torch.isfinite(loss) and parts["accuracy"] in (0.0, 1.0)
    assert set(task.validate()) == {"cross_entropy", "accuracy"} and task.network.training


def test_a_training_writes_a_model_that_loads(data_list, tmp_path):
    from DRAMLesionLib.training.engine import train

    events = []
    out = train(recipe(stages=2), data_list, tmp_path / "cam", device="cpu", log=events.append)
    model = load_cam_model(out)
    assert model.network.settings.stages == 2
    assert "| 4 lobes of 1 scans |" in (out / "docs/README.md").read_text()
    assert any("validation_cross_entropy" in event for event in events)
