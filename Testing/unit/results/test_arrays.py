"""Findings handed from one process to another."""

import json
from dataclasses import replace

import numpy as np
import pytest

from DRAMLesionLib.images.geometry import Geometry
from DRAMLesionLib.images.volume import Volume
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.lungs.lobes import LobeMap
from DRAMLesionLib.results.arrays import FOR_SCENE, WORDS, read_arrays, reading_arrays, write_arrays
from DRAMLesionLib.results.lesion_list import known_lesions, lesions_of
from DRAMLesionLib.system.errors import InputError

SHAPE = (6, 7, 8)


@pytest.fixture
def findings() -> Findings:
    rng = np.random.default_rng(0)
    geometry = Geometry(SHAPE[::-1], (1.0, 1.0, 2.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    ct = Volume(rng.integers(-1000, 100, SHAPE).astype(np.int16), (2.0, 1.0, 1.0), geometry, "ct")
    lobes = LobeMap(rng.integers(0, 6, SHAPE).astype(np.uint8), True, "planes")
    dram = rng.random(SHAPE, dtype=np.float32)
    lesion = (dram > 0.6).astype(np.uint8)
    table = quantify(ct.array, lobes, lesion, ct.spacing_mm, dram)
    record = {"settings": {"lobes": "planes", "threshold": 0.6}, "warnings": []}
    return Findings(ct, lobes, dram, lesion, table, record, dram / 2, None)


def read(folder, ct, lobes=None) -> tuple[list[str], Findings]:
    steps, names = reading_arrays(folder, ct, lobes), []
    while True:
        try:
            names.append(next(steps))
        except StopIteration as end:
            return names, end.value


def test_what_is_written_is_read(findings, tmp_path):
    write_arrays(findings, tmp_path / "out")
    names, given = read(tmp_path / "out", findings.ct)
    assert names == ["lobes", "dram", "lesion", "refined", "probability"]
    for name in ("dram", "lesion", "refined"):
        np.testing.assert_array_equal(getattr(given, name), getattr(findings, name))
    np.testing.assert_array_equal(given.lobes.labels, findings.lobes.labels)
    assert given.probability is None and given.lobes.approximate and given.lobes.source == "planes"
    assert given.quantification == findings.quantification and given.record == findings.record


def test_a_lesion_list_that_was_made_is_handed_over(findings, tmp_path):
    write_arrays(findings, tmp_path)
    assert known_lesions(read(tmp_path, findings.ct)[1]) is None
    made = lesions_of(findings)
    write_arrays(findings, tmp_path)
    given = read(tmp_path, findings.ct)[1]
    assert made.rest_count or made.lesions
    assert known_lesions(given) == made and known_lesions(replace(given, lesion=given.lesion)) is None


def test_an_older_probability_does_not_pass_for_a_new_one(findings, tmp_path):
    write_arrays(replace(findings, probability=findings.dram), tmp_path)
    write_arrays(findings, tmp_path)
    assert read(tmp_path, findings.ct)[1].probability is None


def test_lobes_of_the_caller_come_first(findings, tmp_path):
    write_arrays(findings, tmp_path)
    own = LobeMap(findings.lobes.labels, False, "mine")
    names, given = read(tmp_path, findings.ct, own)
    assert "lobes" not in names and given.lobes is own and given.record["settings"]["lobes"] == "mine"
    assert findings.record["settings"]["lobes"] == "planes"


@pytest.mark.parametrize("words", ["", "[]", json.dumps({"record": {}})])
def test_damaged_words(findings, tmp_path, words):
    write_arrays(findings, tmp_path)
    (tmp_path / WORDS).write_text(words)
    with pytest.raises(InputError, match=WORDS):
        read(tmp_path, findings.ct)


@pytest.mark.parametrize(
    ("array", "what"),
    [
        (np.zeros(SHAPE, np.float64), "float64"),
        (np.zeros((2, 2, 2), np.float32), "2, 2, 2"),
        (np.full(SHAPE, 1.5, np.float32), "1.5..1.5"),
        (np.full(SHAPE, np.nan, np.float32), "nan"),
        (np.array([{}], object), "can't be read"),
    ],
)
def test_damaged_arrays(findings, tmp_path, array, what):
    write_arrays(findings, tmp_path)
    np.save(tmp_path / "dram.npy", array, allow_pickle=True)
    with pytest.raises(InputError, match=r"dram\.npy") as caught:
        read(tmp_path, findings.ct)
    assert what in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_array(findings, tmp_path):
    write_arrays(findings, tmp_path)
    (tmp_path / "lesion.npy").unlink()
    with pytest.raises(InputError, match=r"lesion\.npy: can't be read"):
        read(tmp_path, findings.ct)


def test_the_scenes_process_gets_the_ct_and_no_map_that_it_does_not_show(findings, tmp_path):
    write_arrays(replace(findings, probability=findings.dram), tmp_path / "out", FOR_SCENE)
    given = read_arrays(tmp_path / "out", mapped=True)
    np.testing.assert_array_equal(given.ct.array, findings.ct.array)
    assert (given.ct.geometry, given.ct.spacing_mm) == (findings.ct.geometry, findings.ct.spacing_mm)
    assert given.refined is None and given.probability is None
    assert given.quantification == findings.quantification and given.record == findings.record


def test_of_maps_and_masks_only_the_box_is_written_that_is_not_0(findings, tmp_path):
    dram, lesion = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.uint8)
    dram[2:4, 1:6, 3] = 0.5
    write_arrays(replace(findings, dram=dram, lesion=lesion, refined=None), tmp_path)
    assert np.load(tmp_path / "dram.npy").shape == (2, 5, 1)
    for mapped in (False, True):
        given = read_arrays(tmp_path, findings.ct, mapped=mapped)
        np.testing.assert_array_equal(given.dram, dram)
        np.testing.assert_array_equal(given.lesion, lesion)


@pytest.mark.parametrize(
    "box",
    [None, [[0, 6], [0, 7]], [[0, 6], [0, 7], [1, 9]], [[-1, 5], [0, 7], [0, 8]], [["a", 6], [0, 7], [0, 8]]],
)
def test_a_box_that_the_ct_does_not_have(findings, tmp_path, box):
    write_arrays(findings, tmp_path)
    words = json.loads((tmp_path / WORDS).read_text())
    words["boxes"]["dram"] = box
    (tmp_path / WORDS).write_text(json.dumps(words))
    with pytest.raises(InputError, match=WORDS):
        read_arrays(tmp_path, findings.ct)
