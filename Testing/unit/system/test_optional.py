"""Optional packages: imported, or refused with a command that names packages which an index has."""

import sys
from importlib.metadata import PackageNotFoundError

import pytest

from DRAMLesionLib.system import optional
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.optional import import_optional, install_command

METADATA = [
    "numpy>=1.26",
    'slicer-core>=5.13; extra == "scene"',
    'Onnx_Script>=0.5; extra == "onnx"',
    'onnx<2,>=1.17; extra == "onnx"',
    'dramlesion[onnx]; extra == "test"',
    'onnx>=1; extra == "test"',
    'cmake<4; python_version < "3.13" and extra == "test"',
]


@pytest.fixture
def metadata(monkeypatch):
    monkeypatch.delenv("SLICER_HOME", raising=False)
    monkeypatch.setattr(optional, "requires", lambda name: METADATA)


@pytest.mark.usefixtures("metadata")
@pytest.mark.parametrize(
    ("package", "command"),
    [
        ("slicer-core", "pip install 'slicer-core>=5.13'"),
        ("onnx", "pip install 'Onnx_Script>=0.5' 'onnx<2,>=1.17'"),
        ("onnx-script", "pip install 'Onnx_Script>=0.5' 'onnx<2,>=1.17'"),
        ("cmake", "pip install 'onnx>=1' 'cmake<4'"),
        ("something", "pip install something"),
    ],
)
def test_the_command_names_the_packages_of_the_first_extra_that_has_it(package, command):
    assert install_command(package) == command


def test_without_metadata_the_package_alone_is_named(monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.delenv("SLICER_HOME", raising=False)
    monkeypatch.setattr(optional, "requires", absent)
    assert install_command("highdicom") == "pip install highdicom"


@pytest.mark.usefixtures("metadata")
def test_in_slicer_its_own_installer_is_named(monkeypatch):
    monkeypatch.setenv("SLICER_HOME", "/opt/Slicer")
    assert install_command("onnx").startswith('slicer.util.pip_install("Onnx_Script>=0.5 onnx<2,>=1.17") in')


@pytest.mark.parametrize("package", ["highdicom", "onnxruntime", "distributed", "tensorboard", "slicer-core"])
def test_the_librarys_own_metadata_knows_its_optional_packages(package, monkeypatch):
    monkeypatch.delenv("SLICER_HOME", raising=False)
    assert f"'{package}>=" in install_command(package)
    assert "dramlesion" not in install_command(package)


def test_a_package_that_is_missing_is_named_with_what_needs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tomography", None)
    with pytest.raises(InputError, match=r"^Pictures needs tomography: .*pip.install"):
        import_optional("tomography", "tomography", "Pictures")
    assert import_optional("json", "json", "Text").loads("1") == 1
