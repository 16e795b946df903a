"""Texts that people write: data lists, recipes, studies, tables, and the folders that `datalist` searches."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import Job, Table
from world import World

LISTS = Table("data lists")
RECIPES = Table("recipes and studies")
CSVS = Table("tables and training folders")
RECIPE = """task: dram
name: tiny
epochs: 1
learning_rate: 0.01
model:
  spacing_mm: [9, 9, 9]
  network: {features: [2, 2, 4, 4, 4, 2]}
"""


def _row(world: World, **changes: Any) -> dict[str, Any]:
    row = {"image": str(world.ct_path), "lobes": str(world.lobes_path), "percent": [1, 2, 3, 4, 5]}
    return {key: value for key, value in {**row, **changes}.items() if value != "-"}


def _train(folder: Path, recipe: Path, data: Path, *more: Any) -> tuple[Any, ...]:
    return ("train", recipe, "--data", data, "--out", folder / "model", "--device", "cpu", *more)


def _list(name: str, make_text: Callable[[World], str | bytes], *words: str, short: bool = False) -> None:
    def make(world: World, folder: Path) -> Job:
        (folder / "recipe.yaml").write_text(RECIPE)
        text = make_text(world)
        path = folder / "list.json"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        names = ("list.json", *words) if words else ("DICOM",)
        return Job(_train(folder, folder / "recipe.yaml", path), names)

    LISTS.add(name, make, short)


def _rows(name: str, *words: str, short: bool = False, **changes: Any) -> None:
    _list(name, lambda world: json.dumps({"training": [_row(world, **changes)]}), *words, short=short)


_list("empty", lambda world: "", "not a data list")
_list("no JSON", lambda world: "training: all", "not a data list", short=True)
_list("cut off", lambda world: json.dumps({"training": [_row(world)]})[:40], "not a data list")
_list("a list", lambda world: "[]", "training")
_list("a number", lambda world: "7", "training")
_list("null", lambda world: "null", "training")
_list("no training", lambda world: '{"validation": []}', "training")
_list("training is a text", lambda world: '{"training": "all"}', "training")
_list("training is empty", lambda world: '{"training": []}', "training is empty")
_list("training null", lambda world: '{"training": null}', "training")
_list(
    "validation is a number",
    lambda world: json.dumps({"training": [_row(world)], "validation": 5}),
    "validation",
)
_list(
    "validation null", lambda world: json.dumps({"training": [_row(world)], "validation": None}), "validation"
)
_list("rows are numbers", lambda world: '{"training": [1, 2]}', "training[0]")
_list("rows are lists", lambda world: '{"training": [[], []]}', "training[0]")
_list("nested 100000 deep", lambda world: "[" * 100000, "not a data list", short=True)
_list("a number of 10000 digits", lambda world: '{"training": ' + "9" * 10000 + "}", "list.json")
_list("Latin-1", lambda world: '{"training": "Müller"}'.encode("latin-1"), "not a data list")
_list("UTF-16", lambda world: '{"training": []}'.encode("utf-16"), "not a data list")
_list("null bytes", lambda world: b"\0" * 100, "not a data list")
_list("NaN", lambda world: '{"training": [{"percent": [NaN, 1, 2, 3, 4]}]}', "training[0]")
_rows("no image", "image", image="-")
_rows("image is a number", "image", image=5)
_rows("image is a list", "image", image=["a", "b"])
_rows("image is empty", "image", image="")
_rows("image with a null byte", "image", image="a\0b.nii.gz", short=True)
_rows("image of 5000 characters", "image", image="x" * 5000)
_rows("image not there", "gone.nii.gz", image="gone.nii.gz")
_rows("image is the list's folder", image=".")
_rows("no lobes", "lobes", lobes="-")
_rows("lobes null", "lobes", lobes=None)
_rows("no percent and no score", "percent", percent="-")
_rows("percent of four lobes", "percent", percent=[1, 2, 3, 4])
_rows("percent is a text", "percent", percent="1,2,3,4,5")
_rows("percent of 101", "101", percent=[1, 2, 3, 4, 101], short=True)
_rows("percent negative", "-1", percent=[-1, 2, 3, 4, 5])
_rows("percent with a text", "'5%'", percent=[1, 2, 3, 4, "5%"])
_rows("percent true", "True", percent=[True, 2, 3, 4, 5])
_rows("percent a table", "percent", percent={"LUL": 5})
_rows("percent infinite", "inf", percent=[float("inf"), 1, 2, 3, 4])
_rows("score of 6", "6", score=[0, 1, 2, 3, 6])
_rows("score of 2.5", "2.5", score=[0, 1, 2, 3, 2.5])
_rows("label not there", "gone", label="gone.nii.gz")
_rows("an unknown key", "colour", colour="blue")
_rows("edits a number", "edits", edits=3)


@LISTS.case("nothing known of any lobe")
def _(world: World, folder: Path) -> Job:
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "list.json").write_text(json.dumps({"training": [_row(world, percent=[None] * 5)]}))
    return Job(
        _train(folder, folder / "recipe.yaml", folder / "list.json"), ("list.json",), finally_=lambda: None
    )


@LISTS.case("a scan that is cut off")
def _(world: World, folder: Path) -> Job:
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "ct.nii.gz").write_bytes(world.ct_path.read_bytes()[:5000])
    (folder / "list.json").write_text(json.dumps({"training": [_row(world, image="ct.nii.gz")]}))
    return Job(_train(folder, folder / "recipe.yaml", folder / "list.json"), ("ct.nii.gz", "truncated"))


@LISTS.case("lobes of another scan")
def _(world: World, folder: Path) -> Job:
    import SimpleITK as sitk

    (folder / "recipe.yaml").write_text(RECIPE)
    sitk.WriteImage(world.image(world.labels)[:, :, :-1], str(folder / "lobes.nrrd"))
    (folder / "list.json").write_text(json.dumps({"training": [_row(world, lobes="lobes.nrrd")]}))
    return Job(_train(folder, folder / "recipe.yaml", folder / "list.json"), ("lobes.nrrd", "size"))


@LISTS.case("not there")
def _(world: World, folder: Path) -> Job:
    (folder / "recipe.yaml").write_text(RECIPE)
    return Job(_train(folder, folder / "recipe.yaml", folder / "gone.json"), ("gone.json",))


@LISTS.case("a folder")
def _(world: World, folder: Path) -> Job:
    (folder / "recipe.yaml").write_text(RECIPE)
    return Job(_train(folder, folder / "recipe.yaml", folder), (folder.name,))


@LISTS.case("a byte-order mark, a scan twice: trained")
def _(world: World, folder: Path) -> Job:
    (folder / "recipe.yaml").write_text(RECIPE)
    content = {"about": {"x": [1]}, "training": [_row(world)] * 2}
    (folder / "list.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(content).encode())

    def trained() -> None:
        assert (folder / "model" / "models" / "model.safetensors").is_file()

    return Job(_train(folder, folder / "recipe.yaml", folder / "list.json"), None, trained)


# Recipes.
def _recipe(name: str, text: str | bytes, *words: str, short: bool = False) -> None:
    def make(world: World, folder: Path) -> Job:
        path = folder / "recipe.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        (folder / "list.json").write_text(json.dumps({"training": [_row(world)]}))
        return Job(_train(folder, path, folder / "list.json"), ("recipe.yaml", *words))

    RECIPES.add(name, make, short)


def _with(*lines: str) -> str:
    return RECIPE + "".join(line + "\n" for line in lines)


_recipe("empty", "", "not a recipe")
_recipe("a list", "- epochs\n- 5", "not a recipe")
_recipe("a text", "train well", "not a recipe")
_recipe("tabs", "task:\tdram\n\tepochs: 5", "not a recipe")
_recipe("two documents", "epochs: 1\n---\nepochs: 2", "not a recipe")
_recipe("a Python object", "!!python/object/apply:os.system ['true']", "not a recipe", short=True)
_recipe("a key that is a list", "? [1, 2]\n: 3", "not a recipe", short=True)
_recipe("a key that is a number", "5: 3", "5")
_recipe("a key that is null", "null: 3", "None")
_recipe("an anchor to itself", "task: dram\nmodel: &a {network: *a}", "recipe.yaml")
_recipe(
    "nine billion laughs",
    "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(8)),
    "unknown key",
    short=True,
)
_recipe("nested 5000 deep", "[" * 5000, "not a recipe")
_recipe("Latin-1", "name: Müller".encode("latin-1"), "not a recipe")
_recipe("null bytes", b"\0\0\0", "not a recipe")
_recipe("a control character", "name: \x07", "not a recipe")
_recipe("an unknown task", "task: magic", "magic")
_recipe("a task that is a list", "task: [dram]", "task")
_recipe("an unknown key", _with("epoch: 5"), "epoch", short=True)
_recipe("another task's section", _with("cam: {}"), "cam")
_recipe("epochs 0", _with().replace("epochs: 1", "epochs: 0"), "epochs")
_recipe("epochs 1.5", _with().replace("epochs: 1", "epochs: 1.5"), "epochs")
_recipe("epochs infinite", _with().replace("epochs: 1", "epochs: .inf"), "epochs")
_recipe("epochs NaN", _with().replace("epochs: 1", "epochs: .nan"), "epochs")
_recipe("epochs a date", _with().replace("epochs: 1", "epochs: 2020-01-01"), "epochs")
_recipe("epochs of 400 digits", _with().replace("epochs: 1", "epochs: 1" + "0" * 400), "epochs")
_recipe("epochs yes", _with().replace("epochs: 1", "epochs: yes"), "epochs")
_recipe("learning rate negative", _with("learning_rate: -1"), "learning_rate")
_recipe("learning rate a word", _with("learning_rate: fast"), "learning_rate")
_recipe("name empty", _with("name: ''"), "name")
_recipe("name a number", _with("name: 5"), "name")
_recipe("precision unknown", _with("precision: float8"), "precision")
_recipe("seed negative", _with("seed: -1"), "seed")
_recipe("model a text", _with("model: big"), "model")
_recipe("model null", _with("model:"), "model")
_recipe("spacing of two numbers", _with("model: {spacing_mm: [1, 1]}"), "spacing_mm")
_recipe("spacing zero", _with("model: {spacing_mm: [0, 1, 1]}"), "spacing_mm")
_recipe("spacing infinite", _with("model: {spacing_mm: [.inf, 1, 1]}"), "spacing_mm")
_recipe("window backwards", _with("model: {hu_window: [0, -1000]}"), "hu_window")
_recipe("window infinite", _with("model: {hu_window: [-.inf, .inf]}"), "hu_window")
_recipe("margin infinite", _with("model: {margin_mm: .inf}"), "margin_mm")
_recipe("candidate HU infinite", _with("model: {candidate_hu: .inf}"), "candidate_hu")
_recipe("threshold 1", _with("model: {threshold: 1}"), "threshold")
_recipe("features a word", _with("model: {network: {features: many}}"), "features")
_recipe("features of 5 levels", _with("model: {network: {features: [2, 2, 2, 2, 2]}}"), "features")
_recipe("features of a million", _with("model: {network: {features: [1000000, 2, 2, 2, 2, 2]}}"), "features")
_recipe("features negative", _with("model: {network: {features: [-2, 2, 2, 2, 2, 2]}}"), "features")
_recipe("CRF iterations infinite", _with("model: {crf: {iterations: .inf}}"), "iterations", short=True)
_recipe("CRF width infinite", _with("model: {crf: {gaussian_mm: .inf}}"), "gaussian_mm")
_recipe("CRF iterations a thousand million", _with("model: {crf: {iterations: 1000000000}}"), "iterations")
_recipe("CRF unknown key", _with("model: {crf: {magic: 1}}"), "magic")
_recipe("attention a number", _with("model: {attention: 5}"), "attention")
_recipe("section's share of 2", _with("dram: {synthetic_share: 2}"), "synthetic_share")
_recipe("section's word unknown", _with("dram: {target: best}"), "target")
_recipe("section a list", _with("dram: [1]"), "dram")


@RECIPES.case("starts from a model that is not there")
def _(world: World, folder: Path) -> Job:
    (folder / "recipe.yaml").write_text(_with("start_from: nowhere"))
    (folder / "list.json").write_text(json.dumps({"training": [_row(world)]}))
    return Job(_train(folder, folder / "recipe.yaml", folder / "list.json"), ("nowhere", "no such model"))


@RECIPES.case("not there")
def _(world: World, folder: Path) -> Job:
    return Job(_train(folder, folder / "gone.yaml", folder / "list.json"), ("gone.yaml",))


def _study(name: str, text: str, *words: str) -> None:
    def make(world: World, folder: Path) -> Job:
        (folder / "study.yaml").write_text(text)
        (folder / "list.json").write_text(json.dumps({"training": [_row(world)]}))
        run = ("study", folder / "study.yaml", "--data", folder / "list.json", "--out", folder / "out")
        return Job(run, ("study.yaml", *words))

    RECIPES.add(f"study: {name}", make)


_study("empty", "", "study")
_study("rows a number", "rows: 5", "rows")
_study("no rows", "rows: []", "rows")
_study("a row that is a text", "rows: [dRAM]", "row")
_study("a row without name", "rows: [{mask: threshold}]", "name")
_study("unknown mask", "rows: [{name: a, mask: magic}]", "magic")
_study("a recipe that is not there", "rows: [{name: a, mask: dram, recipe: gone.yaml}]", "gone.yaml")
_study("a row of itself", "rows: [{name: a, mask: dram, model_of: a}]", "model_of")
_study("two rows of one name", "rows: [{name: a, mask: threshold}, {name: a, mask: threshold}]", "a")
_study("seeds a text", "seeds: many\nrows: [{name: a, mask: threshold}]", "seeds")
_study("a key that is a list", "? [1]\n: 2", "study.yaml")
_study("cut a text", "rows: [{name: a, mask: threshold, cut: high}]", "cut")


# Tables for `datalist`.
_HEADER = "name,percent_LUL,percent_LLL,percent_RUL,percent_RML,percent_RLL\n"


def _scans(world: World, folder: Path, *names: str) -> Path:
    (folder / "scans").mkdir()
    for name in names:
        shutil.copy(world.ct_path, folder / "scans" / f"{name}_ct.nii.gz")
        shutil.copy(world.lobes_path, folder / "scans" / f"{name}_lobes.nii.gz")
    return folder / "scans"


def _csv(
    name: str,
    text: str | bytes,
    *words: str,
    good: bool = False,
    short: bool = False,
    more: tuple[Any, ...] = (),
) -> None:
    def make(world: World, folder: Path) -> Job:
        path = folder / "table.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        run = (
            "datalist",
            _scans(world, folder, "a", "b"),
            "--csv",
            path,
            "--out",
            folder / "list.json",
            *more,
        )

        def listed() -> None:
            rows = json.loads((folder / "list.json").read_text())["training"]
            assert [row["percent"] for row in rows] == [[1, 2, 3, 4, 5], [0, 0.5, None, 100, 7]], rows

        return Job(run, None, listed) if good else Job(run, words)

    CSVS.add(name, make, short)


_GOOD = "a,1,2,3,4,5\nb,0,0.5,,100,7\n"
_csv("as it should be", _HEADER + _GOOD, good=True)
_csv(
    "semicolons and commas in numbers",
    (_HEADER + "a,1,2,3,4,5\nb,0,0.5,,100,7\n").replace(",", ";").replace(".", ","),
    good=True,
    short=True,
)
_csv(
    "tabs, byte-order mark, Windows' line ends, percent signs",
    b"\xef\xbb\xbf"
    + (_HEADER + "a,1%,2%,3%,4%,5%\nb,0,0.5,na,100,7\n").replace(",", "\t").replace("\n", "\r\n").encode(),
    good=True,
)
_csv("old Macintosh's line ends", (_HEADER + _GOOD).replace("\n", "\r"), good=True)
_csv(
    "quotes and blanks",
    '"name" , percent_LUL,percent_LLL,percent_RUL,percent_RML,percent_RLL\n"a", 1,2,3,4,5\n\n , , \nb ,0,0.5,-,100,7\n',
    good=True,
)
_csv("empty", "", "table.csv", "name")
_csv("header alone", _HEADER, "table.csv", "no rows")
_csv("no name column", _HEADER.replace("name", "patient") + _GOOD, "table.csv", "name or case")
_csv("four lobes", _HEADER.replace(",percent_RLL", "") + "a,1,2,3,4\n", "table.csv", "percent_RLL")
_csv("a column twice", _HEADER.replace("percent_RLL", "percent_RML") + _GOOD, "table.csv")
_csv("a case twice", _HEADER + "a,1,2,3,4,5\na,1,2,3,4,5\n", "table.csv", "2 rows")
_csv("101 percent", _HEADER + "a,1,2,3,4,101\nb,1,2,3,4,5\n", "table.csv", "line 2", "'101'", short=True)
_csv("a word", _HEADER + "a,1,2,3,4,many\nb,1,2,3,4,5\n", "table.csv", "'many'")
_csv("infinite", _HEADER + "a,1,2,3,4,inf\nb,1,2,3,4,5\n", "table.csv", "'inf'")
_csv("an unknown case", _HEADER + "z,1,2,3,4,5\n", "scans", "z")
_csv("a quote that never ends", _HEADER + '"a,1,2,3,4,5\nb,0,0.5,,100,7\n', "no image")
_csv("null bytes", _HEADER.encode() + b"a,1,\0,3,4,5\n", "table.csv", short=True)
_csv("Latin-1", (_HEADER + "Müller,1,2,3,4,5\n").encode("latin-1"), "table.csv", "UTF-8")
_csv("UTF-16", (_HEADER + _GOOD).encode("utf-16"), "table.csv", "UTF-8")
_csv("an Excel file", b"PK\3\4" + bytes(range(256)) * 10, "table.csv")
_csv("a cell of a million characters", _HEADER + "a," + "9" * 1000000 + ",2,3,4,5\n", "table.csv")
_csv("scores of 7", _HEADER.replace("percent", "score") + "a,1,2,3,4,7\n", "table.csv", "'7'")
_csv("lobes without a kind", "name,LUL,LLL,RUL,RML,RLL\n" + _GOOD, "table.csv", "--kind")
_csv("an unknown case to watch", _HEADER + _GOOD, "--validation", more=("--validation", "zz"))
_csv("all cases to watch", _HEADER + _GOOD, "--validation", more=("--validation", "a", "--validation", "b"))
_csv("a list that is no JSON", _HEADER + _GOOD, "list.txt", more=("--out", "list.txt"))
_csv("a pattern without name", _HEADER + _GOOD, "{name}", more=("--image", "ct"))


@CSVS.case("a folder without scans")
def _(world: World, folder: Path) -> Job:
    (folder / "scans").mkdir()
    (folder / "table.csv").write_text(_HEADER + _GOOD)
    run = ("datalist", folder / "scans", "--csv", folder / "table.csv", "--out", folder / "list.json")
    return Job(run, ("scans", "no CT"))


@CSVS.case("a CT without lobes")
def _(world: World, folder: Path) -> Job:
    (folder / "table.csv").write_text(_HEADER + _GOOD)
    scans = _scans(world, folder, "a", "b")
    (scans / "b_lobes.nii.gz").unlink()
    return Job(
        ("datalist", scans, "--csv", folder / "table.csv", "--out", folder / "list.json"), ("b: no lobes",)
    )


@CSVS.case("percentages from masks that are not there")
def _(world: World, folder: Path) -> Job:
    run = ("datalist", _scans(world, folder, "a"), "--from-labels", "--out", folder / "list.json")
    return Job(run, ("a: no label",))


@CSVS.case("percentages from a mask on another grid")
def _(world: World, folder: Path) -> Job:
    import SimpleITK as sitk

    scans = _scans(world, folder, "a")
    sitk.WriteImage(world.image(world.labels)[:, :, 1:], str(scans / "a_lesion.nii.gz"))
    return Job(
        ("datalist", scans, "--from-labels", "--out", folder / "list.json"), ("a_lesion.nii.gz", "size")
    )


CASES = [*LISTS.cases, *RECIPES.cases, *CSVS.cases]
