"""The engine on a toy task: an interrupted training equals an unbroken one, and what goes wrong is told."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import toy_task
from safetensors.torch import load_file, save_file

from DRAMLesionLib.lesions.networks import bundle as model
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.training import run_log
from DRAMLesionLib.training.checkpoint import SCALARS, TENSORS
from DRAMLesionLib.training.distributed import Processes
from DRAMLesionLib.training.engine import STOP_FILE, state_folder, train
from DRAMLesionLib.training.recipes.recipe import SECTIONS, Recipe, recipe_from_dict
from DRAMLesionLib.training.run_log import CURVE, LOG, read_log
from DRAMLesionLib.training.stopping import Stopped
from DRAMLesionLib.training.tasks.kinds import TASKS

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.setitem(TASKS, "toy", toy_task.TASK)
    monkeypatch.setitem(SECTIONS, "toy", toy_task.TOY_SECTIONS)
    monkeypatch.setattr(toy_task.ToyTask, "validations", ())


@pytest.fixture(autouse=True)
def without_pictures(request, monkeypatch):
    """They take longer than the toy's training."""
    if "picture" not in request.node.name:
        monkeypatch.setattr(run_log, "draw_loss_curve", lambda events, path: None)


@pytest.fixture
def data(tmp_path):
    (tmp_path / "ct.nii.gz").write_bytes(b"12")
    row = {"image": "ct.nii.gz", "lobes": "ct.nii.gz", "percent": [1, 2, 3, 4, 5]}
    (tmp_path / "list.json").write_text(json.dumps({"training": [row]}))
    return tmp_path / "list.json"


def recipe(**changes) -> Recipe:
    values = {"task": "toy", "epochs": 4, "batch": 3, "ema": 0.9, "learning_rate": 0.05, **changes}
    return recipe_from_dict(values, "toy.yaml")


def run(the_recipe, data, name="out", **options):
    """Train; give the weights and the log."""
    out = data.parent / name
    train(the_recipe, data, out, device="cpu", **options)
    return load_file(out / "toy.safetensors"), read_log(state_folder(out) / LOG)


def stop_after(steps):
    """A wish to stop that is asked for after each step, and once before."""
    asked = iter(range(steps + 100))
    return lambda: next(asked) >= steps


def without_time(events):
    return [{key: value for key, value in event.items() if key != "seconds"} for event in events]


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("steps", [1, 5, 9])  # seven samples, three a step: in an epoch, and at its end
def test_a_training_that_goes_on_equals_an_unbroken_one(data, steps, precision):
    the_recipe = recipe(precision=precision)
    weights, log = run(the_recipe, data)
    with pytest.raises(Stopped) as stopped:
        run(the_recipe, data, "broken", stop=stop_after(steps))
    assert stopped.value.checkpoint.is_file()
    assert not (data.parent / "broken").exists()
    assert read_log(state_folder(data.parent / "broken") / LOG)[-1]["step"] == steps
    again, log_again = run(the_recipe, data, "broken", resume=True)
    assert same(weights, again)
    assert without_time(log_again) == without_time(log)


def test_what_a_killed_training_logged_after_its_checkpoint_is_done_again(data):
    weights, log = run(recipe(), data)

    def killed(event):
        if event["step"] == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(recipe(), data, "killed", log=killed)
    folder = state_folder(data.parent / "killed")
    assert read_log(folder / LOG)[-1]["step"] == 8
    assert json.loads((folder / SCALARS).read_text())["state"]["step"] == 6
    with (folder / LOG).open("a") as file:
        file.write('{"event": "step", "st')  # cut off by the kill
    again, log_again = run(recipe(), data, "killed", resume=True)
    assert same(weights, again)
    assert without_time(log_again) == without_time(log)


def test_the_seed_changes_the_training(data):
    assert not same(run(recipe(), data)[0], run(recipe(), data, "other", seed=1)[0])


def test_the_file_stop_ends_at_a_checkpoint(data):
    folder = state_folder(data.parent / "out")

    def ask(event):
        if event["event"] == "step" and event["step"] == 4:
            (folder / STOP_FILE).touch()

    with pytest.raises(Stopped):
        run(recipe(), data, log=ask)
    assert read_log(folder / LOG)[-1]["step"] == 4
    _, log = run(recipe(), data, resume=True)
    assert log[-1]["step"] == 12
    assert not (folder / STOP_FILE).exists()


def test_a_wish_to_stop_while_scans_are_read_leaves_nothing_to_go_on_from(data):
    with pytest.raises(Stopped) as stopped:
        run(recipe(), data, stop=lambda: True)
    assert stopped.value.checkpoint is None


def test_samples_of_a_batch_add_up_however_many_fit_together(data, monkeypatch):
    # Dropout draws for all samples of a call at once.
    monkeypatch.setattr(torch.nn.Dropout, "forward", lambda self, x: x)
    one, log = run(recipe(batch=7, precision="float32"), data)
    monkeypatch.setattr(toy_task.ToyTask, "samples_together", 4)
    four, log_four = run(recipe(batch=7, precision="float32"), data, "four")
    assert [e["loss"] for e in log] == pytest.approx([e["loss"] for e in log_four], rel=1e-5)
    assert all(torch.allclose(one[key], four[key], rtol=1e-4, atol=1e-5) for key in one)


def test_a_loss_that_is_not_finite_names_the_sample_and_keeps_the_checkpoint(data):
    bad = recipe(toy={"bad_sample": 4, "bad_epoch": 3}, precision="bfloat16")
    with pytest.raises(InputError, match=r"the loss of toy 4 is not finite.*learning_rate.*float32") as error:
        run(bad, data)
    assert "\n" not in str(error.value)
    folder = state_folder(data.parent / "out")
    assert json.loads((folder / SCALARS).read_text())["state"]["step"] == 6
    assert all(value.isfinite().all() for value in load_file(folder / TENSORS).values())
    assert not (data.parent / "out").exists()


def test_the_moving_average_is_saved(data, monkeypatch):
    last, _ = run(recipe(ema=0.0), data)
    averaged, _ = run(recipe(ema=0.9), data, "averaged")
    # By hand: every state of the weights, which the average does not influence.
    states = []
    names = [name for name, _ in toy_task.ToyNetwork(4).named_parameters()]
    before = torch.optim.AdamW.step

    def step(self, *args):
        before(self, *args)
        values = [p.detach().clone() for p in self.param_groups[0]["params"]]
        states.append(dict(zip(names, values, strict=True)))

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    run(recipe(ema=0.0), data, "watched")
    average = states[0]
    for number, state in enumerate(states[1:], 1):
        decay = min(0.9, (1 + number) / (10 + number))
        average = {key: decay * average[key] + (1 - decay) * state[key] for key in names}
    assert not any(torch.equal(averaged[key], last[key]) for key in last)
    assert all(torch.allclose(averaged[key], average[key], atol=1e-6) for key in names)


def test_early_stop_looks_at_the_weak_metric_and_saves_the_best_weights(data, monkeypatch):
    watched = {"validate_every": 1, "ema": 0.0}
    monkeypatch.setattr(toy_task.ToyTask, "validations", (3.0, 1.0, 2.0, 1.5, 9.0, 9.0))
    weights, log = run(recipe(epochs=6, early_stop=2, **watched), data)
    assert [e["epoch"] for e in log if e["event"] == "epoch"] == [1, 2, 3, 4]

    monkeypatch.setattr(toy_task.ToyTask, "validations", (3.0, 1.0))
    with pytest.raises(Stopped) as stopped:
        run(recipe(epochs=6, early_stop=2, **watched), data, "second", stop=stop_after(6))
    second = load_file(stopped.value.checkpoint)
    assert all(torch.equal(weights[key], second[f"network.{key}"]) for key in weights)


def test_early_stop_is_remembered_over_a_break(data, monkeypatch):
    values = (3.0, 1.0, 2.0, 1.5, 9.0, 9.0)
    watched = recipe(epochs=6, early_stop=2, validate_every=1)
    monkeypatch.setattr(toy_task.ToyTask, "validations", values)
    weights, log = run(watched, data)
    with pytest.raises(Stopped):
        run(watched, data, "broken", stop=stop_after(10))
    monkeypatch.setattr(toy_task.ToyTask, "validations", values[3:])
    again, log_again = run(watched, data, "broken", resume=True)
    assert same(weights, again)
    assert len(log) == len(log_again)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"epochs": 5}, r"toy\.yaml: epochs was 4 and is 5"),
        ({"toy": {"samples": 8}}, r"toy\.samples was 7 and is 8"),
        ({"model": {"width": 5}}, r"model\.width was 4 and is 5"),
    ],
)
def test_another_recipe_can_not_go_on(data, changes, named, tmp_path):
    (tmp_path / "toy.yaml").write_text(json.dumps({"task": "toy", "epochs": 4}))
    with pytest.raises(Stopped):
        train(tmp_path / "toy.yaml", data, tmp_path / "out", stop=stop_after(2))
    (tmp_path / "toy.yaml").write_text(json.dumps({"task": "toy", "epochs": 4, **changes}))
    with pytest.raises(InputError, match=named) as error:
        train(tmp_path / "toy.yaml", data, tmp_path / "out", resume=True)
    assert str(state_folder(tmp_path / "out")) in str(error.value)


def test_other_data_can_not_go_on(data):
    with pytest.raises(Stopped):
        run(recipe(), data, stop=stop_after(2))
    before = data.read_text()
    content = json.loads(before)
    content["training"][0]["percent"][3] = 40
    data.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"training\[0\]\.percent\[3\] was 4 and is 40"):
        run(recipe(), data, resume=True)
    data.write_text(before)
    (data.parent / "ct.nii.gz").write_bytes(b"123")
    with pytest.raises(InputError, match=r"ct\.nii\.gz was 2 and is 3"):
        run(recipe(), data, resume=True)
    (data.parent / "ct.nii.gz").write_bytes(b"21")
    assert run(replace(recipe(), threads=1, data="another text"), data, resume=True)


def test_hours_of_work_are_not_thrown_away(data):
    with pytest.raises(Stopped):
        run(recipe(), data, stop=stop_after(2))
    with pytest.raises(InputError, match="--resume"):
        run(recipe(), data)


def test_resume_without_a_checkpoint_begins_and_a_finished_training_is_not_repeated(data):
    weights, _ = run(recipe(), data, resume=True)
    assert not (state_folder(data.parent / "out") / TENSORS).exists()
    seen = []
    again, _ = run(recipe(), data, resume=True, log=seen.append)
    assert same(weights, again) and not seen
    run(recipe(epochs=5), data, resume=True, log=seen.append)  # another one has not ended here
    assert seen[-1]["epochs"] == 5


def test_a_training_starts_from_a_models_weights(data, monkeypatch):
    torch.manual_seed(5)
    start = toy_task.ToyNetwork(4)
    monkeypatch.setattr(model, "load_any_model", lambda name: SimpleNamespace(network=start))
    weights, _ = run(recipe(start_from="another", learning_rate=1e-12, ema=0.0), data)
    assert all(torch.allclose(weights[key], value, atol=1e-7) for key, value in start.state_dict().items())
    with pytest.raises(InputError, match=r"start_from: another: .*size \(4, 1, 3, 3, 3\).*\(5, 1, 3, 3, 3\)"):
        run(recipe(start_from="another", model={"width": 5}), data, "wide")
    monkeypatch.setattr(model, "load_any_model", lambda name: SimpleNamespace(network=torch.nn.Linear(1, 1)))
    with pytest.raises(InputError, match="start_from: another: its network is another one"):
        run(recipe(start_from="another"), data, "other")


@pytest.mark.parametrize("damage", ["cut", "garbage", "keys", "version"])
def test_a_damaged_checkpoint_is_named(data, damage):
    with pytest.raises(Stopped):
        run(recipe(), data, stop=stop_after(2))
    path = state_folder(data.parent / "out") / TENSORS
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-10])
    elif damage == "garbage":
        path.write_bytes(b"\x00" * 64)
    elif damage == "keys":
        save_file({"network.0.weight": torch.zeros(1)}, path)
    else:
        scalars = json.loads((path.parent / SCALARS).read_text())
        save_file(load_file(path), path, metadata={"scalars": json.dumps({**scalars, "format": 99})})
    with pytest.raises(InputError, match=r"checkpoint\.safetensors"):
        run(recipe(), data, resume=True)


def test_the_log_has_each_step_and_epoch_and_a_picture(data):
    _, log = run(recipe(), data)
    steps = [event for event in log if event["event"] == "step"]
    assert [event["step"] for event in steps] == list(range(1, 13))
    assert all({"epoch", "epochs", "steps", "loss", "square", "rate"} <= event.keys() for event in steps)
    epochs = [event for event in log if event["event"] == "epoch"]
    assert len(epochs) == 4
    # Three, three and one samples: the epoch's loss is the mean over samples, not over steps.
    parts = [event["loss"] for event in steps[:3]]
    assert epochs[0]["loss"] == pytest.approx((3 * parts[0] + 3 * parts[1] + parts[2]) / 7)
    picture = state_folder(data.parent / "out") / CURVE
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_tensorboard_is_written_or_what_to_install_is_told(data):
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        with pytest.raises(InputError, match="needs tensorboard: pip install"):
            run(recipe(), data, tensorboard=True)
    else:
        run(recipe(), data, tensorboard=True)
        assert list((state_folder(data.parent / "out") / "tensorboard").glob("events*"))


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_shares_of_a_batch_average_to_its_mean(count, size):
    batch = list(range(10, 10 + size))
    shares = [Processes(rank, count, CPU).share(batch) for rank in range(count)]
    assert all(shares), "each process has to compute a gradient"
    weights = dict.fromkeys(batch, 0.0)
    for share in shares:
        for index, weight in share:
            weights[index] += weight / count  # DistributedDataParallel averages
    assert weights == pytest.approx(dict.fromkeys(batch, 1 / size))
