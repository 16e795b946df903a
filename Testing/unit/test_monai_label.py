"""The MONAI Label app: with the monailabel package where it is installed, else with a stand-in of its interfaces.

The stand-in has what version 0.8.5 declares: ``InferTask``, ``InferType``, ``ScoringMethod``, ``MONAILabelApp`` with
``init_infers``, ``init_scoring_methods``, ``infer`` and ``scoring``, and the data store's methods that a score needs.
"""

import importlib.util
import sys
import types
from abc import ABC, abstractmethod
from enum import Enum
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from DRAMLesionLib.images.volume import write_volume
from DRAMLesionLib.lesions.networks.bundle import save_model
from DRAMLesionLib.lesions.networks.description import ModelDescription, NetworkDescription
from DRAMLesionLib.lesions.networks.dram_network import DenseNetwork
from DRAMLesionLib.phantom import make_phantom

APP = Path(__file__).parents[2] / "Integrations" / "monailabel"
REAL = importlib.util.find_spec("monailabel") is not None


def stand_in() -> dict[str, types.ModuleType]:
    class InferType(str, Enum):
        SEGMENTATION = "segmentation"

    class InferTask(ABC):
        def __init__(self, type, labels, dimension, description, config=None):
            self.type, self.labels, self.dimension = type, labels, dimension
            self.description, self._config = description, dict(config or {})

        @abstractmethod
        def is_valid(self): ...

        @abstractmethod
        def __call__(self, request): ...

    class ScoringMethod(ABC):
        def __init__(self, description):
            self.description = description

        @abstractmethod
        def __call__(self, request, datastore): ...

    class Datastore:
        """CTs in a folder, labels in ``labels/TAG`` beside them, under the same name."""

        def __init__(self, folder):
            self.folder, self.info = Path(folder), {}

        def list_images(self):
            return [path.name.removesuffix(".nii.gz") for path in sorted(self.folder.glob("*.nii.gz"))]

        def get_image_uri(self, image):
            return str(self.folder / f"{image}.nii.gz")

        def get_label_uri(self, label, tag):
            return str(self.folder / "labels" / tag / f"{label}.nii.gz")

        def get_label_by_image_id(self, image, tag):
            return image if Path(self.get_label_uri(image, tag)).exists() else ""

        def update_label_info(self, label, tag, info):
            self.info.setdefault((label, tag), {}).update(info)

        def get_label_info(self, label, tag):
            return self.info[label, tag]

    class MONAILabelApp:
        def __init__(self, app_dir, studies, conf, name="", description="", version="2.0", labels=None):
            self._datastore = Datastore(studies)
            self._infers, self._scoring_methods = self.init_infers(), self.init_scoring_methods()

        def datastore(self):
            return self._datastore

        def infer(self, request):
            image = request["image"]
            given = image if Path(image).exists() else self._datastore.get_image_uri(image)
            file, params = self._infers[request["model"]]({**request, "image": given})
            return {"file": file, "params": params}

        def scoring(self, request):
            return self._scoring_methods[request["method"]](request, self._datastore)

    parts = {
        "monailabel": {},
        "monailabel.interfaces": {},
        "monailabel.interfaces.app": {"MONAILabelApp": MONAILabelApp},
        "monailabel.interfaces.tasks": {},
        "monailabel.interfaces.tasks.infer_v2": {"InferTask": InferTask, "InferType": InferType},
        "monailabel.interfaces.tasks.scoring": {"ScoringMethod": ScoringMethod},
    }
    modules = {}
    for name, values in parts.items():
        modules[name] = types.ModuleType(name)
        vars(modules[name]).update(values)
    return modules


@pytest.fixture(scope="module")
def phantom():
    return make_phantom((64, 64, 48), (5.4, 5.4, 6.0), severity=(12.0, 30.0, 8.0, 0.0, 55.0))


@pytest.fixture
def app(tmp_path, phantom, monkeypatch):
    """The app on a folder of one CT, with the phantom's lobes and its lesion as final label."""
    studies = tmp_path / "studies"
    write_volume(phantom.ct.array, phantom.ct, studies / "one.nii.gz")
    write_volume(phantom.lesion, phantom.ct, studies / "labels" / "final" / "one.nii.gz")
    write_volume(phantom.lobes.labels, phantom.ct, studies / "labels" / "lobes" / "one.nii.gz")
    small = NetworkDescription((2,) * 6)
    description = ModelDescription(spacing_mm=(6, 6, 6), candidate_hu=-700, threshold=0.02, network=small)
    texts = {"name": "small", "version": "1", "card": "", "summary": "", "data": "", "licence": "MIT"}
    save_model(tmp_path / "small", DenseNetwork(small), description, **texts)
    conf = {"model": str(tmp_path / "small"), "method": "dram"}
    if REAL:
        from monailabel.interfaces.utils.app import app_instance

        return app_instance(str(APP), str(studies), conf)
    for name, module in stand_in().items():
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.spec_from_file_location("dramlesion_monailabel", APP / "main.py")
    main = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(main)
    return main.DRAMLesionApp(str(APP), str(studies), conf)


def test_inference_gives_a_mask_on_the_grid_and_the_table(app, tmp_path, phantom):
    lobes = str(tmp_path / "studies" / "labels" / "lobes" / "one.nii.gz")
    request = {"model": "covid_lesion", "image": "one", "device": "cuda", "lobes": lobes, "crf": False}
    result = app.infer(request)
    mask, ct = sitk.ReadImage(result["file"]), sitk.ReadImage(str(tmp_path / "studies" / "one.nii.gz"))
    assert mask.GetSize() == ct.GetSize()
    np.testing.assert_allclose(mask.GetOrigin(), ct.GetOrigin(), atol=1e-4)
    array = sitk.GetArrayFromImage(mask)
    params = result["params"]
    assert params["label_names"] == {"covid_lesion": 1}
    inside = phantom.lobes.labels > 0
    assert array.sum() > 0 and set(np.unique(array)) == {0, 1}
    assert params["total_lesion_percent"] == pytest.approx(100 * array.sum() / inside.sum(), rel=1e-6)
    assert params["statement"].startswith("Research use only")


def test_a_client_may_ask_for_a_slicer_segmentation(app, tmp_path):
    lobes = str(tmp_path / "studies" / "labels" / "lobes" / "one.nii.gz")
    result = app.infer(
        {
            "model": "covid_lesion",
            "image": "one",
            "result_extension": ".seg.nrrd",
            "lobes": lobes,
            "crf": False,
        }
    )
    image = sitk.ReadImage(result["file"])
    assert image.GetMetaData("Segment0_Name") == "COVID-19 lesion"


def test_scoring_measures_each_label_and_keeps_it_beside_the_label(app, phantom):
    app.scoring({"method": "lesion_score"})
    info = app.datastore().get_label_info("one", "final")
    inside = phantom.lobes.labels > 0
    assert info["lesion_percent"] == pytest.approx(100 * phantom.lesion[inside].mean(), rel=1e-6)
    assert info["severity_score_per_lobe"] == {"LUL": 2, "LLL": 3, "RUL": 2, "RML": 0, "RLL": 4}
    assert info["severity_score"] == 11 and info["lobes_approximate"] is False


@pytest.mark.skipif(not REAL, reason="monailabel is not installed")
def test_the_server_answers_a_client(app, tmp_path, monkeypatch):
    from fastapi.testclient import TestClient
    from monailabel.config import settings

    monkeypatch.setattr(settings, "MONAI_LABEL_APP_DIR", str(APP))
    monkeypatch.setattr(settings, "MONAI_LABEL_STUDIES", str(tmp_path / "studies"))
    from monailabel.app import app as server

    client = TestClient(server)
    info = client.get("/info/").json()
    assert "covid_lesion" in info["models"] and "lesion_score" in info["scoring"]
    lobes = str(tmp_path / "studies" / "labels" / "lobes" / "one.nii.gz")
    answer = client.post(
        "/infer/covid_lesion?image=one&output=json", data={"params": f'{{"lobes": "{lobes}", "crf": false}}'}
    )
    assert answer.status_code == 200 and "total_severity_score" in answer.json()
    corrected = np.asarray(
        sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "studies" / "one.nii.gz"))) > 0
    )
    image = sitk.GetImageFromArray(corrected.astype(np.uint8))
    image.CopyInformation(sitk.ReadImage(str(tmp_path / "studies" / "one.nii.gz")))
    sitk.WriteImage(image, str(tmp_path / "label.nii.gz"))
    with (tmp_path / "label.nii.gz").open("rb") as file:
        kept = client.put("/datastore/label?image=one&tag=final", files={"label": ("label.nii.gz", file)})
    assert kept.status_code == 200, kept.text
    stored = sitk.ReadImage(str(tmp_path / "studies" / "labels" / "final" / "one.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(stored), corrected)
