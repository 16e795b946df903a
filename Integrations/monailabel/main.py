"""A MONAI Label app: any MONAI Label client can ask for the lesion mask and its scores.

    monailabel start_server --app Integrations/monailabel --studies FOLDER_OF_CTS [--conf model NAME] [--conf method dram]

All work is done by DRAMLesionLib, which has to be installed beside monailabel. Research use only, not for diagnosis.
"""

import logging
import tempfile
import time
from pathlib import Path
from typing import Any

from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from monailabel.interfaces.tasks.scoring import ScoringMethod

import DRAMLesionLib
from DRAMLesionLib.system.errors import InputError

logger = logging.getLogger(__name__)

LABEL = "covid_lesion"
LOBES_TAG = "lobes"
"""The data store's label tag under which a person may leave an image's lobes; without them they are found roughly."""


class LesionInfer(InferTask):
    """The lesion mask of a CT, with the table of its lobes."""

    def __init__(self, model: str | None, method: str | None):
        """Name the model.

        Args:
            model: A bundle's name or folder, of either kind; None is the default one.
            method: ``final``, ``dram`` or None, as ``segment --method``.
        """
        super().__init__(
            type=InferType.SEGMENTATION,
            labels={LABEL: 1},
            dimension=3,
            description="COVID-19 lesions in chest CT, percentages and severity scores. Research use only",
            config={"crf": True},
        )
        self._model, self._method = model, method
        self._loaded: dict[str, Any] = {}

    def is_valid(self) -> bool:
        """Whether its model is there and whole."""
        try:
            self._models("cpu")
        except InputError as error:
            logger.error("%s", error)
            return False
        return True

    def __call__(self, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Segment one CT.

        Args:
            request: ``image``: a file or DICOM folder; ``device``; ``crf``; ``lobes``: a file on its grid;
                ``result_extension``: ``.nii.gz`` (default), ``.nrrd`` or ``.seg.nrrd``.

        Returns:
            The mask's file and its parameters: ``label_names``, ``latencies`` and what ``summary.json`` holds.
        """
        from DRAMLesionLib.images.volume import read_ct
        from DRAMLesionLib.lesions.find import find_lesions
        from DRAMLesionLib.lesions.options import Options
        from DRAMLesionLib.results.table import summary

        start = time.perf_counter()
        device = find_device(request.get("device"))
        ct = read_ct(request["image"])
        findings = find_lesions(
            ct,
            self._models(device),
            Options(lobes=request.get("lobes"), crf=bool(request.get("crf", True))),
        )
        path = write_mask(findings, request.get("result_extension") or ".nii.gz")
        seconds = round(time.perf_counter() - start, 3)
        return str(path), {"label_names": self.labels, "latencies": {"total": seconds}, **summary(findings)}

    def _models(self, device: str) -> Any:
        """Loaded once per device, so that a second request does not wait for it."""
        from DRAMLesionLib.lesions.run_models import load_case_models

        if device not in self._loaded:
            self._loaded[device] = load_case_models(self._model, self._method, device)
        return self._loaded[device]


class LesionScore(ScoringMethod):
    """Percentage and severity score of every label in the data store, as information beside the label."""

    def __init__(self, tags: tuple[str, ...] = ("final", "original")):
        """Choose the label tags that are scored."""
        super().__init__("Lesion percentage of the lungs and CT severity score 0..25 of each label")
        self._tags = tags

    def __call__(self, request: dict[str, Any], datastore: Any) -> dict[str, Any]:
        """Score all labels of the data store.

        Args:
            request: ``tags``: instead of the usual ones.
            datastore: MONAI Label's.

        Returns:
            Per image and tag what was stored beside the label.
        """
        found: dict[str, Any] = {}
        for image in datastore.list_images():
            for tag in request.get("tags") or self._tags:
                label = datastore.get_label_by_image_id(image, tag)
                if not label:
                    continue
                lobes = datastore.get_label_by_image_id(image, LOBES_TAG)
                scores = score_label(
                    datastore.get_image_uri(image),
                    datastore.get_label_uri(label, tag),
                    datastore.get_label_uri(lobes, LOBES_TAG) if lobes else None,
                )
                datastore.update_label_info(label, tag, scores)
                found.setdefault(image, {})[tag] = scores
        return found


class DRAMLesionApp(MONAILabelApp):
    """The app: one inference task, one scoring method."""

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]):
        """Read the options ``--conf model NAME`` and ``--conf method final|dram``."""
        conf = conf or {}
        self._infer = LesionInfer(conf.get("model"), conf.get("method"))
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name="DRAMLesion",
            description="COVID-19 lesions in chest CT. Research use only, not for diagnosis",
            version=DRAMLesionLib.__version__,
            labels=[LABEL],
        )

    def init_infers(self) -> dict[str, InferTask]:
        """The one model."""
        return {LABEL: self._infer} if self._infer.is_valid() else {}

    def init_scoring_methods(self) -> dict[str, ScoringMethod]:
        """The one method."""
        return {"lesion_score": LesionScore()}


def find_device(wanted: str | None) -> str:
    """Our name of the device that a client asked for; clients ask for ``cuda`` whether there is one or not."""
    import torch

    from DRAMLesionLib.system import device

    if not wanted or (wanted.startswith("cuda") and not torch.cuda.is_available()):
        wanted = "auto"
    return str(device.find_device("cuda:0" if wanted == "cuda" else wanted))


def write_mask(findings: Any, extension: str) -> Path:
    """The mask in a temporary file, which the server removes after it was sent."""
    from DRAMLesionLib.images.volume import write_volume
    from DRAMLesionLib.results.seg_nrrd import write_segmentation

    path = Path(tempfile.mkdtemp(prefix="dramlesion-")) / f"lesion{extension}"
    if extension == ".seg.nrrd":
        write_segmentation(findings, path)
    else:
        write_volume(findings.lesion, findings.ct, path)
    return path


def score_label(image: str, label: str, lobes: str | None) -> dict[str, Any]:
    """Percentage and severity scores of one label on its CT."""
    from DRAMLesionLib.training.data.nnunet import import_prediction

    findings = import_prediction(label, image, lobes)
    table = findings.quantification
    return {
        "lesion_percent": table.total.percent,
        "lesion_ml": table.total.lesion_ml,
        "severity_score": table.total_score,
        "severity_score_per_lobe": {region.key: region.score for region in table.lobes},
        "lobes_approximate": findings.lobes.approximate,
    }
