"""No code out of data, no path out of its folder, no shell, no other eyes on temporary files."""

import ast
import io
import json
import os
import pickle
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from killing import SMALL, save_small
from nursery import REPOSITORY
from typer.testing import CliRunner

from DRAMLesionLib.cli import app
from DRAMLesionLib.correction.session import CorrectionSession
from DRAMLesionLib.lesions.findings import Findings
from DRAMLesionLib.lesions.networks.bundle import METADATA, WEIGHTS, save_model
from DRAMLesionLib.lesions.networks.dram_network import DenseNetwork
from DRAMLesionLib.lesions.networks.final_description import (
    SegmentationDescription,
    SegmentationNetworkDescription,
)
from DRAMLesionLib.lesions.networks.final_network import SegmentationNetwork
from DRAMLesionLib.lesions.quantify import quantify
from DRAMLesionLib.lesions.run_models import load_case_models
from DRAMLesionLib.phantom import make_phantom
from DRAMLesionLib.results.arrays import FOR_SCENE, WORDS, read_arrays, write_arrays
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.training.checkpoint import Learner, load_checkpoint
from DRAMLesionLib.training.data.accepted_case import save_accepted_case

SHIPPED = ("DRAMLesionLib", "DRAMLesion", "SegmentEditorDRAMRefine", "Integrations", "Scripts")
FORBIDDEN_CALLS = {
    "os.system", "os.popen", "eval", "exec", "torch.load", "torch.hub.load", "pickle.load", "pickle.loads",
    "yaml.load", "yaml.unsafe_load", "yaml.full_load", "joblib.load", "tempfile.mktemp", "np.fromregex",
    "zipfile.ZipFile.extractall", "shutil.unpack_archive", "marshal.loads", "shelve.open",
}  # fmt: skip
FORBIDDEN_IMPORTS = {
    "pickle", "cloudpickle", "dill", "marshal", "shelve", "requests", "urllib3", "httpx", "aiohttp", "telnetlib",
    "ftplib", "smtplib", "urllib.request", "http.client", "xmlrpc",
}  # fmt: skip
EXCEPT_FOR = {
    ("DRAMLesionLib/view/access.py", "aiohttp"),  # answers the browser on this machine, asks nobody
    ("DRAMLesionLib/view/server.py", "aiohttp"),
    ("Scripts/check_extension.py", "urllib.request"),  # asks for the icon's address, for developers
    ("Scripts/notebook.py", "exec"),  # runs the cells of the project's own notebook
    ("Scripts/notebook.py", "eval"),
}


def sources() -> list[Path]:
    return [path for name in SHIPPED for path in sorted((REPOSITORY / name).rglob("*.py"))]


def name_of(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def keyword(call: ast.Call, name: str) -> object:
    found = [one.value for one in call.keywords if one.arg == name]
    return found[0].value if found and isinstance(found[0], ast.Constant) else None


def problems(tree: ast.AST) -> list[str]:
    """What no file of ours may do."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name in FORBIDDEN_IMPORTS]
        elif isinstance(node, ast.ImportFrom) and node.module in FORBIDDEN_IMPORTS:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            name = name_of(node.func)
            if name in FORBIDDEN_CALLS or name.endswith(".extractall"):
                found.append(name)
            if keyword(node, "shell") or keyword(node, "allow_pickle"):
                found.append(f"{name} with a shell or pickle")
            child = name.split(".")[0] == "subprocess" or name == "Popen"
            if child and node.args and isinstance(node.args[0], ast.Constant | ast.JoinedStr | ast.BinOp):
                found.append(f"{name} with a command that is no list")
    return found


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from urllib.request import urlopen",
        "import os\nos.system('x')",
        "subprocess.run('ls', shell=True)",
        "subprocess.Popen(f'ls {x}')",
        "np.load(p, allow_pickle=True)",
        "torch.load(p)",
        "archive.extractall(p)",
        "yaml.load(f)",
    ],
)
def test_the_search_finds_what_is_forbidden(text):
    assert problems(ast.parse(text))


def test_no_source_of_ours_does_what_is_forbidden():
    found = {}
    for path in sources():
        relative = path.relative_to(REPOSITORY).as_posix()
        bad = [what for what in problems(ast.parse(path.read_text())) if (relative, what) not in EXCEPT_FOR]
        if bad:
            found[relative] = bad
    assert len(sources()) > 150 and not found


class Hostile:
    """Would leave a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


@pytest.fixture
def hostile(tmp_path) -> dict[str, bytes]:
    """Pickles by the ways that such files are made."""
    evil = Hostile(tmp_path / "trace")
    whole, old = io.BytesIO(), io.BytesIO()
    torch.save({"weight": evil}, whole)
    torch.save({"weight": evil}, old, _use_new_zipfile_serialization=False)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("../../escaped.txt", "x")
        file.writestr("configs/metadata.json", "{}")
    array = io.BytesIO()
    np.save(array, np.array([evil], object), allow_pickle=True)
    arrays = io.BytesIO()
    np.savez(arrays, words=np.array([evil], object))
    made = {"torch": whole, "old torch": old, "zip": packed, "npy": array, "npz": arrays}
    return {name: data.getvalue() for name, data in made.items()} | {"pickle": pickle.dumps(evil)}


def small_findings(name: str) -> Findings:
    made = make_phantom((32, 28, 24), (11, 11, 12), seed=0)
    table = quantify(made.ct.array, made.lobes, made.lesion, made.ct.spacing_mm)
    ct, dram = replace(made.ct, name=name), made.lesion.astype(np.float32)
    return Findings(ct, made.lobes, dram, made.lesion, table, {})


KINDS = ("torch", "old torch", "zip", "npy", "npz", "pickle")


def refused(words: list[object], tmp_path: Path) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    errors = [line for line in done.output.splitlines() if line.startswith("Error: ")]
    assert done.exit_code == 2 and len(errors) == 1, done.output
    assert not (tmp_path / "trace").exists(), "it was executed"
    assert not list(tmp_path.parent.glob("escaped.txt")) + list(tmp_path.rglob("escaped.txt"))
    return errors[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["model.pt", "model.zip", "weights", "metadata"])
def test_a_hostile_model_is_refused(phantoms, hostile, tmp_path, kind, place):
    ct = phantoms / "0" / "ct.nii.gz"
    if place.startswith("model"):
        model = tmp_path / place
        model.write_bytes(hostile[kind])
    else:
        model = save_small(tmp_path / "model", DenseNetwork(SMALL), "model")
        if place == "metadata":
            (model / METADATA).write_bytes(hostile[kind])
        else:
            import hashlib

            (model / WEIGHTS).write_bytes(hostile[kind])
            metadata = json.loads((model / METADATA).read_text())
            metadata["checksum"] = {WEIGHTS.as_posix(): hashlib.sha256(hostile[kind]).hexdigest()}
            (model / METADATA).write_text(json.dumps(metadata))
    assert "model" in refused(["segment", ct, "--model", model, "--out", tmp_path / "out"], tmp_path)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_checkpoints_sessions_and_arrays_are_refused(phantoms, hostile, tmp_path, kind):
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "checkpoint.safetensors").write_bytes(hostile[kind])
    network = DenseNetwork(SMALL)
    with pytest.raises(InputError):
        load_checkpoint(folder, Learner(network, torch.optim.AdamW(network.parameters())))

    from jobs import begin_session

    begin_session(str(phantoms / "0"), str(tmp_path / "session"))
    (tmp_path / "session" / "volumes-1.npz").write_bytes(hostile[kind])
    with pytest.raises(InputError):
        CorrectionSession.load(tmp_path / "session")

    for name in (WORDS, "ct.npy", "dram.npy"):
        write_arrays(small_findings("ct"), tmp_path / "arrays", FOR_SCENE)
        (tmp_path / "arrays" / name).write_bytes(hostile[kind])
        with pytest.raises(InputError):
            read_arrays(tmp_path / "arrays", mapped=True)
    assert not (tmp_path / "trace").exists(), "it was executed"


@pytest.mark.parametrize("name", ["../b", "/b", "x/../../b", ".", "..", "", "a\\b"])
def test_a_bundle_names_no_path(tmp_path, name):
    """What a final network's bundle calls its dRAM model is a name, whatever lies elsewhere."""
    description = SegmentationDescription(
        patch=(16, 16, 16), network=SegmentationNetworkDescription((2, 2, 2)), dram_model="b"
    )
    words = {"card": "# x", "summary": "x", "data": "x", "licence": "MIT", "version": "0.0.1"}
    final = save_model(
        tmp_path / "bundles" / "final",
        SegmentationNetwork(description.network),
        description,
        name="f",
        **words,
    )
    save_small(tmp_path / "b", DenseNetwork(SMALL), "b")
    metadata = json.loads((final / METADATA).read_text())
    metadata["segmentation"]["dram_model"] = str(tmp_path / "b") if name == "/b" else name
    (final / METADATA).write_text(json.dumps(metadata))
    before = Path.cwd()
    os.chdir(tmp_path / "bundles")
    try:
        with pytest.raises(InputError, match="dram_model"):
            load_case_models(final)
    finally:
        os.chdir(before)


@pytest.mark.parametrize(
    "name", ["../evil", "/tmp/evil", "a/../../evil", "..", "a\\..\\evil", "C:evil", "\x00"]
)
def test_names_of_cases_stay_in_their_folder(phantoms, tmp_path, name):
    """In a batch's table and for an accepted case."""
    outside = tmp_path / "outside"
    outside.mkdir()
    table = tmp_path / "cases.csv"
    table.write_text(f'image,name\n{phantoms / "0" / "ct.nii.gz"},"{name}"\n', encoding="utf-8")
    done = CliRunner().invoke(app, ["batch", str(table), str(outside / "out"), "--no-scene"])
    assert done.exit_code == 2, done.output

    findings = small_findings(name)
    case = save_accepted_case(outside / "training", findings, findings.lesion)
    assert case.parent == outside / "training"
    assert {path.name for path in tmp_path.iterdir()} == {"outside", "cases.csv"}


@pytest.mark.skipif(sys.platform == "win32", reason="permissions as POSIX has them")
def test_temporary_files_are_for_their_owner_alone(tmp_path):
    from DRAMLesionLib.system.files import atomic_file, replaced_directory, staged_directory

    before = os.umask(0)
    try:
        with atomic_file(tmp_path / "a.txt") as file:
            assert file.stat().st_mode & 0o077 == 0
        for context in (staged_directory, replaced_directory):
            with context(tmp_path / "out") as folder:
                assert folder.stat().st_mode & 0o077 == 0
        with atomic_file(tmp_path / "key.csv", private=True):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "key.csv").stat().st_mode & 0o077 == 0
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o666
