"""The install section, clicked: what Slicer's pip functions are asked for, and what the user reads then."""

import inspect
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
from made_up_slicer import HERE, PIP_SETTINGS, Machine
from packaging.requirements import Requirement

from DRAMLesionLib.commands import doctor
from DRAMLesionLib.system import interrupted_install
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.requirements import Environment, needed_packages, requirement


@pytest.fixture(scope="module")
def panel(module, application):
    """The panel, opened once, with a small volume; it doesn't ask for models and devices, which takes seconds."""
    import numpy as np
    import slicer
    from DRAMLesionPanel.segment.input_section import InputSection
    from panel_standin.application import openPanel

    slicer.mrmlScene.Clear(0)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    slicer.util.updateVolumeFromArray(node, np.linspace(-1000, 400, 512).reshape(8, 8, 8).astype(np.int16))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InputSection, "examine", lambda self: None)
        widget = openPanel(module)
    yield widget
    widget.exit()
    widget.cleanup()
    widget.parent.deleteLater()
    application.processEvents()
    slicer.mrmlScene.Clear(0)


@pytest.fixture
def machine(panel, monkeypatch, tmp_path):
    made = Machine(tmp_path)
    monkeypatch.setattr(Environment, "here", classmethod(lambda cls: made.environment()))
    monkeypatch.setattr(interrupted_install, "packages_folder", lambda: tmp_path)
    monkeypatch.setattr(panel.panel.inputs, "examine", lambda: None)
    panel.ui.wheelFolderSelector.currentPath = panel.ui.proxyLineEdit.text = ""
    panel.panel.showStatus("")
    before = dict(os.environ)
    yield made
    assert {key: os.environ.get(key) for key in PIP_SETTINGS} == {
        key: before.get(key) for key in PIP_SETTINGS
    }


@pytest.fixture
def slicer512(machine, monkeypatch):
    """``slicer.packaging`` with the signatures of Slicer 5.12."""
    import slicer

    def load_requirements(path):
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        return [Requirement(line) for line in lines if line and not line.startswith("#")]

    def pip_ensure(
        requirements,
        constraints=None,
        skip_packages=None,
        prompt_install=True,
        prompt_restart=True,
        requester=None,
        skip_in_testing=True,
        show_progress=True,
    ):
        here = [item for item in requirements if item.marker is None or item.marker.evaluate()]
        missing = [str(item).partition(";")[0] for item in here if item.name in machine.gone]
        options = {
            "requester": requester,
            "window": show_progress,
            "prompts": (prompt_install, prompt_restart),
        }
        machine.pip("pip_ensure", missing, **options)

    def pip_install(requirements, constraints=None, show_progress=True, requester=None):
        machine.pip("pip_install", requirements, requester=requester, window=show_progress)

    made = types.ModuleType("slicer.packaging")
    made.load_requirements, made.pip_ensure, made.pip_install = load_requirements, pip_ensure, pip_install
    monkeypatch.setitem(sys.modules, "slicer.packaging", made)
    monkeypatch.setattr(slicer, "packaging", made, raising=False)
    return machine


@pytest.fixture
def slicer510(machine, monkeypatch):
    """Before ``slicer.packaging``: ``slicer.util.pip_install`` alone."""
    import slicer

    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    monkeypatch.setattr(slicer.util, "pip_install", lambda asked: machine.pip("util.pip_install", asked))
    return machine


def look(panel) -> None:
    panel.panel.install.update()
    panel.panel.update()


def test_nothing_is_shown_or_installed_where_all_is_there(slicer512, panel):
    slicer512.gone.clear()
    look(panel)
    assert panel.ui.installCollapsibleButton.isHidden() and panel.ui.segmentButton.enabled
    assert slicer512.calls == []


def test_what_is_missing_is_said_as_doctor_says_it(slicer512, panel):
    look(panel)
    assert not panel.ui.installCollapsibleButton.isHidden() and not panel.ui.segmentButton.enabled
    problems = doctor.examine()["problems"]
    assert len(problems) == 2 and problems[0].startswith("monai is missing")
    assert all(line in panel.ui.installLabel.text for line in problems)
    assert slicer512.calls == []  # only a click installs


def test_a_click_installs_with_pip_ensure(slicer512, panel):
    look(panel)
    panel.ui.installButton.click()
    (call,) = slicer512.calls
    assert call.name == "pip_ensure" and call.asked == ["monai>=1.5", "safetensors>=0.4"]
    assert call.requester == "DRAMLesion" and call.window and call.prompts == (False, True)
    kept = {f"{name}=={HERE.versions[name.lower()]}" for name in ("numpy", "SimpleITK", "vtk")}
    assert kept <= set(call.kept) and "torch>=2.8" in call.kept
    assert call.settings["PIP_NO_INPUT"] == "1" and "PIP_NO_INDEX" not in call.settings
    assert panel.ui.installCollapsibleButton.isHidden() and panel.ui.segmentButton.enabled
    assert "Installed" in panel.ui.statusLabel.text and list(slicer512.folder.iterdir()) == []


def test_before_5_12_pip_install_gets_the_missing_alone(slicer510, panel):
    look(panel)
    panel.ui.installButton.click()
    (call,) = slicer510.calls
    assert (call.name, call.asked) == ("util.pip_install", ["monai>=1.5", "safetensors>=0.4"])
    assert panel.ui.installCollapsibleButton.isHidden()


@pytest.mark.parametrize("version", ["slicer510", "slicer512"])
def test_a_folder_of_wheels_and_a_proxy_reach_pip(version, request, panel, tmp_path):
    machine = request.getfixturevalue(version)
    wheels = tmp_path / "räder und mehr"
    wheels.mkdir()
    (wheels / "monai-1.6.0-py3-none-any.whl").touch()
    look(panel)
    panel.ui.wheelFolderSelector.currentPath = str(wheels)
    panel.ui.proxyLineEdit.text = "http://me:secret@proxy.example:3128"
    panel.ui.installButton.click()
    settings = machine.calls[0].settings
    assert settings["PIP_FIND_LINKS"] == wheels.as_uri() and " " not in settings["PIP_FIND_LINKS"]
    assert settings["PIP_NO_INDEX"] == "1" and settings["PIP_PROXY"] == "http://me:secret@proxy.example:3128"


@pytest.mark.parametrize(
    ("wheels", "proxy", "says"),
    [
        ("/no/such/folder", "", "there is no such folder"),
        ("empty", "", "pip download -d FOLDER"),
        ("", "proxy.example:3128", "enter it as http://HOST:PORT"),
    ],
)
def test_a_source_that_cannot_work_is_refused_at_once(slicer512, panel, tmp_path, wheels, proxy, says):
    if wheels == "empty":
        wheels = str(tmp_path)
    look(panel)
    panel.ui.wheelFolderSelector.currentPath = wheels
    panel.ui.proxyLineEdit.text = proxy
    panel.ui.installButton.click()
    assert says in panel.ui.statusLabel.text and slicer512.calls == []


@pytest.fixture
def pytorch_extension(machine, monkeypatch):
    import slicer

    class PyTorchUtilsLogic:
        def installTorch(
            self,
            askConfirmation=False,
            forceComputationBackend=None,
            torchVersionRequirement=None,
            torchvisionVersionRequirement=None,
        ):
            machine.pip("installTorch", [f"torch{torchVersionRequirement}"], prompts=askConfirmation)

    made = types.ModuleType("PyTorchUtils")
    made.PyTorchUtilsLogic = PyTorchUtilsLogic
    monkeypatch.setitem(sys.modules, "PyTorchUtils", made)
    monkeypatch.setattr(slicer.modules, "pytorchutils", made, raising=False)
    machine.gone.add("torch")
    return made


def test_torch_comes_through_the_pytorch_extension(slicer512, pytorch_extension, panel):
    look(panel)
    panel.ui.installButton.click()
    torch, rest = slicer512.calls
    assert torch.name == "installTorch" and torch.asked == ["torch>=2.8"] and torch.prompts is False
    assert (
        f"numpy=={HERE.versions['numpy']}" in torch.kept
    )  # it takes no constraints: they come by the environment
    assert rest.name == "pip_ensure" and rest.asked == ["monai>=1.5", "safetensors>=0.4"]


def test_from_a_folder_of_wheels_torch_comes_from_there_too(slicer512, pytorch_extension, panel, tmp_path):
    (tmp_path / "torch-2.9.0-py3-none-any.whl").touch()
    look(panel)
    panel.ui.wheelFolderSelector.currentPath = str(tmp_path)
    panel.ui.installButton.click()
    assert [call.name for call in slicer512.calls] == ["pip_ensure"]
    assert "torch>=2.8" in slicer512.calls[0].asked


def test_torch_that_cannot_be_loaded_is_explained(slicer512, pytorch_extension, panel, monkeypatch):
    def installTorch(self, **_):
        raise OSError("DLL load failed")

    monkeypatch.setattr(pytorch_extension.PyTorchUtilsLogic, "installTorch", installTorch)
    look(panel)
    panel.ui.installButton.click()
    assert "can't be loaded: DLL load failed" in panel.ui.statusLabel.text
    assert "PyTorch Utils" in panel.ui.statusLabel.text


DISK_FULL = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
NOT_FOUND = "ERROR: Could not find a version that satisfies the requirement monai>=1.5 (from versions: none)"


def test_a_failure_shows_pips_reason_and_what_to_do(slicer512, panel):
    slicer512.said, slicer512.code = DISK_FULL, 1
    look(panel)
    panel.ui.installButton.click()
    text = panel.ui.statusLabel.text
    assert "No space left on device" in text and "the disk is full: free 10 GB" in text and "\n" not in text
    assert not panel.ui.installCollapsibleButton.isHidden() and panel.ui.installButton.enabled
    assert panel.ui.installButton.text == "Install"  # pip has put things in order itself


def test_what_is_missing_in_a_folder_of_wheels_is_named(slicer512, panel, tmp_path):
    (tmp_path / "other-1.0-py3-none-any.whl").touch()
    slicer512.said, slicer512.code = NOT_FOUND, 1
    look(panel)
    panel.ui.wheelFolderSelector.currentPath = str(tmp_path)
    panel.ui.installButton.click()
    assert "monai>=1.5" in panel.ui.statusLabel.text and "add it to the folder" in panel.ui.statusLabel.text


def test_the_window_shows_what_pip_does(slicer510, panel, application):
    from DRAMLesionPanel.install.packages import PipProgress

    slicer510.said = "Collecting monai\n  Downloading monai-1.6.0-py3-none-any.whl (1.4 MB)\nFound link x"
    shown = []

    def wait():
        panel.ui.installButton.click()  # a second click changes nothing
        from clicks import wait_until

        wait_until(application, lambda: "Downloading" in panel.ui.statusLabel.text)
        shown.append(panel.ui.statusLabel.text)
        assert not panel.ui.installButton.enabled

    slicer510.during = wait
    look(panel)
    panel.ui.installButton.click()
    assert shown[0].startswith("Downloading monai-1.6.0-py3-none-any.whl (1.4 MB) (0:0")
    assert len(slicer510.calls) == 1 and PipProgress.INTERVAL_MS <= 1000


def leave_an_interrupted_installation(folder: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-S", "-c", ""])
    ended.wait()
    content = {"requirements": ["monai>=1.5"], "process": ended.pid, "since": 0.0}
    (folder / interrupted_install.MARKER_NAME).write_text(json.dumps(content), encoding="utf-8")
    (folder / "sympy-1.0.dist-info").mkdir(exist_ok=True)


@pytest.mark.parametrize("version", ["slicer510", "slicer512"])
def test_an_interrupted_installation_is_found_and_continued(version, request, panel):
    machine = request.getfixturevalue(version)
    leave_an_interrupted_installation(machine.folder)
    machine.gone.clear()  # all that this module asks for is there, but what those need is in pieces
    look(panel)
    assert panel.ui.installButton.text == "Continue installation" and not panel.ui.segmentButton.enabled
    assert "an installation was interrupted" in panel.ui.installLabel.text
    panel.ui.installButton.click()
    (call,) = machine.calls
    there = machine.environment()
    assert "pip_install" in call.name and call.asked == [
        requirement(there, name) for name in needed_packages(there)
    ]
    assert list(machine.folder.iterdir()) == []  # the piece is gone, and so is the marker
    assert panel.ui.installCollapsibleButton.isHidden() and panel.ui.segmentButton.enabled


def test_pip_that_was_ended_from_outside_is_to_be_continued(slicer512, panel):
    slicer512.said, slicer512.code = "Collecting monai", -9
    look(panel)
    panel.ui.installButton.click()
    assert "pip was ended before it had finished: press Install to continue" in panel.ui.statusLabel.text
    assert panel.ui.installButton.text == "Continue installation"


def test_what_no_installation_can_mend_is_said_instead(slicer512, panel, monkeypatch):
    monkeypatch.setattr(
        Environment,
        "here",
        classmethod(lambda cls: Environment(HERE.versions | {"python": "3.9.1"}, in_slicer=True)),
    )
    look(panel)
    assert not panel.ui.installButton.enabled
    assert "use Slicer 5.10 or later" in panel.ui.installLabel.text


def test_slicers_own_packages_that_changed_are_reported(slicer512, panel, monkeypatch):
    original = slicer512.environment

    def environment():
        found = original()
        changed = {"numpy": "9.9"} if slicer512.calls else {}
        return Environment(dict(found.versions) | changed, in_slicer=True)

    monkeypatch.setattr(slicer512, "environment", environment)
    look(panel)
    panel.ui.installButton.click()
    assert "numpy was changed from" in panel.ui.statusLabel.text


@pytest.mark.parametrize("version", ["slicer510", "slicer512"])
def test_headless_nothing_is_asked_and_no_window_opens(version, request, panel):
    from DRAMLesionPanel.install.packages import installRequirements

    machine = request.getfixturevalue(version)
    installRequirements()
    (call,) = machine.calls
    assert call.name == "util.pip_install" or (not call.window and call.prompts == (False, False))
    installRequirements()  # all is there: pip is not called again
    assert len(machine.calls) == 1


def test_headless_a_failure_is_one_line(slicer512, panel):
    from DRAMLesionPanel.install.packages import installRequirements

    slicer512.said, slicer512.code = DISK_FULL, 1
    with pytest.raises(InputError, match="disk is full"):
        installRequirements()


def test_in_testing_mode_it_says_that_nothing_was_installed(slicer512, panel, application, monkeypatch):
    monkeypatch.setattr(application, "testing", True)
    monkeypatch.setattr(sys.modules["slicer.packaging"], "pip_ensure", lambda *_, **__: None)
    look(panel)
    panel.ui.installButton.click()
    assert "monai>=1.5, safetensors>=0.4: still missing: Slicer installs nothing in testing mode" in (
        panel.ui.statusLabel.text
    )


def test_nothing_is_installed_at_import_or_when_the_module_opens(application, module, monkeypatch):
    """The module's files are read again with every way to pip closed."""
    import importlib

    import slicer
    from DRAMLesionPanel.install import install_section, packages, pip_report

    def never(*_, **__):
        raise AssertionError("pip was called")

    monkeypatch.setattr(slicer.util, "pip_install", never)
    monkeypatch.setattr(subprocess, "Popen", never)
    for part in (pip_report, packages, install_section):
        assert inspect.getsource(importlib.reload(part))


def test_pip_writes_lines_while_it_downloads_on_every_slicer(slicer512, panel, monkeypatch):
    """Slicer looks after its windows once for each line: torch is one download of minutes."""
    from DRAMLesionPanel.install import packages

    seen = []
    monkeypatch.setattr(packages, "_reportsProgress", lambda _environment: True)
    monkeypatch.setattr(
        sys.modules["slicer.packaging"],
        "pip_ensure",
        lambda *_, **__: seen.append(os.environ.get("PIP_PROGRESS_BAR")),
    )
    look(panel)
    panel.ui.installButton.click()
    assert seen == ["raw"] and "PIP_PROGRESS_BAR" not in os.environ
