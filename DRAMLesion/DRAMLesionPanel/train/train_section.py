"""Train: data, recipe, name; Start, Stop, Resume; how it goes on."""

from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from DRAMLesionLib.system.errors import InputError
from DRAMLesionPanel.shared.models import knownModels
from DRAMLesionPanel.shared.path_field import PathField, chooseFolder
from DRAMLesionPanel.train.closing import ClosingWatch
from DRAMLesionPanel.train.curve import drawTraining
from DRAMLesionPanel.train.plan import RECIPES, Plan, freeName, makePlan, readRecipe
from DRAMLesionPanel.train.run import TrainingRun, findRunning, unfinished

POLL_MS = 250


class TrainingSection:
    """Starts trainings and follows them. They go on whatever becomes of the panel and the scene."""

    def __init__(self, panel: Any) -> None:
        self._panel, self._ui = panel, panel.ui
        self._run: TrainingRun | None = None
        self._message: tuple[str, str] = ("", "")
        self._filling = False
        self._planned: tuple[Any, ...] = ()
        self._unfinished: list[str] = []
        self._known: set[str] = set()
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.connect("timeout()", self._poll)
        ui = self._ui
        titles = (_("Lesion map (dRAM)"), _("Final network"), _("Fine-tune on my corrections"))
        for recipe, title in zip(RECIPES, titles, strict=True):
            ui.recipeSelector.addItem(title, recipe)
        ui.trainDeviceSelector.addItem(_("Automatic"), "auto")
        ui.trainProgressBar.hide()
        ui.trainChartLabel.hide()
        ui.trainVerdictLabel.hide()
        self._dataList = PathField(ui.dataListSelector, self._onData)
        self._folder = PathField(ui.trainingFolderSelector, self._onTrainingFolder)
        ui.dataFolderButton.connect("clicked(bool)", self._onDataFolder)
        ui.recipeSelector.connect("currentIndexChanged(int)", self._onRecipe)
        ui.trainNameSelector.connect("editTextChanged(QString)", self._onName)
        ui.epochsSpinBox.connect("valueChanged(int)", self._onEpochs)
        ui.trainDeviceSelector.connect("currentIndexChanged(int)", self._onDevice)
        ui.trainCollapsibleButton.connect("contentsCollapsed(bool)", self._onCollapsed)
        ui.trainStartButton.connect("clicked(bool)", self._onStart)
        ui.trainStopButton.connect("clicked(bool)", self._onStop)
        ui.trainResumeButton.connect("clicked(bool)", self._onResume)
        ui.trainDiscardButton.connect("clicked(bool)", self._onDiscard)
        self._watch = ClosingWatch(lambda: self._run is not None, self._stop)

    @property
    def current(self) -> TrainingRun | None:
        """The training that goes on, if any."""
        return self._run

    def enter(self) -> None:
        """The user opened the module: another Slicer, or a script, may have begun a training."""
        if self._run is None and not self._panel.install.missing:
            with self._panel.reported():
                run = findRunning()
                if run is not None:
                    self._follow(run)
        self._look()

    def showChoices(self) -> None:
        """Let the widgets follow from the parameter node."""
        parameters, ui = self._panel.parameters, self._ui
        if parameters is None:
            return
        self._filling = True
        try:
            self._dataList.show(parameters.trainDataList)
            for box, data in (
                (ui.recipeSelector, parameters.trainRecipe),
                (ui.trainDeviceSelector, parameters.trainDevice),
            ):
                if box.findData(data) < 0:  # of a saved scene, or a recipe's file
                    box.addItem(Path(data).name, data)
                box.setCurrentIndex(box.findData(data))
            ui.trainNameSelector.setEditText(parameters.trainName)
            self._showEpochs()
        finally:
            self._filling = False
        self._look()

    def update(self) -> None:
        """Enable what can be done now, and say what a training would do."""
        parameters, ui, run = self._panel.parameters, self._ui, self._run
        self._takeDevices()
        ready = parameters is not None and not self._panel.install.missing
        resumable = self._resumable() if ready and run is None else None
        ui.trainStartButton.enabled = ready and run is None and bool(self._data())
        ui.trainStopButton.enabled = run is not None and not run.stopping
        ui.trainResumeButton.enabled = ui.trainDiscardButton.enabled = bool(resumable)
        for widget in (
            ui.dataListSelector,
            ui.dataFolderButton,
            ui.recipeSelector,
            ui.trainNameSelector,
            ui.epochsSpinBox,
            ui.trainDeviceSelector,
        ):
            widget.enabled = run is None
        ui.trainProgressBar.setVisible(run is not None)
        if ready and not ui.trainCollapsibleButton.collapsed:
            self._showPlan(resumable)

    def cleanup(self, quitting: bool) -> None:
        """The panel goes away; see :meth:`ClosingWatch.end` for what becomes of the training."""
        self._timer.stop()
        self._watch.end(quitting)
        self._run = None

    def _data(self) -> str:
        """The data list that is chosen, else the training folder of accepted cases."""
        return (self._dataList.path or self._folder.path) if self._panel.parameters else ""

    def _resumable(self) -> str | None:
        """The training that Resume would go on with: that of the name, else the latest."""
        names = self._unfinished
        name = self._panel.parameters.trainName.strip()
        if name:
            return name if name in names else None
        return names[0] if names else None

    def _look(self) -> None:
        """Look which models and unfinished trainings there are: not at each change of the panel."""
        with self._panel.reported():
            self._unfinished = unfinished()
            self._known = {*knownModels(), *self._unfinished}
        self._planned = ()
        names, box = self._unfinished, self._ui.trainNameSelector
        if [box.itemText(index) for index in range(box.count)] == names:
            return
        before, text = self._filling, box.currentText
        self._filling = True
        box.clear()
        for name in names:
            box.addItem(name)
        box.setEditText(text)
        self._filling = before

    def _plan(self) -> Plan:
        parameters = self._panel.parameters
        epochs = parameters.trainEpochs or None
        return makePlan(self._data(), parameters.trainRecipe, epochs, parameters.model or None)

    def _showPlan(self, resumable: str | None) -> None:
        """Say what Start would do; what is wrong is said when Start is pressed, or here once there is data."""
        parameters, ui = self._panel.parameters, self._ui
        ui.trainResumeButton.toolTip = (
            _("Go on with {name} from its last checkpoint.").format(name=resumable)
            if resumable
            else _("Go on from the last checkpoint.")
        )
        ui.trainDiscardButton.toolTip = (
            _("Delete the unfinished training {name}, after a question.").format(name=resumable)
            if resumable
            else _("Delete an unfinished training, after a question.")
        )
        ui.trainNameSelector.lineEdit().placeholderText = freeName(parameters.trainRecipe, self._known)
        key = (self._data(), parameters.trainRecipe, parameters.model)
        if key != self._planned:
            self._planned = key
            try:
                ui.trainHintLabel.text = describe(self._plan()) if self._data() else ""
            except InputError as error:
                ui.trainHintLabel.text = str(error)

    def _showEpochs(self) -> None:
        """The chosen number, else the recipe's own."""
        parameters = self._panel.parameters
        epochs = parameters.trainEpochs
        if not epochs and not self._panel.install.missing:
            try:
                epochs = int(readRecipe(parameters.trainRecipe).get("epochs", 1))
            except (InputError, TypeError, ValueError):
                epochs = 1  # what is wrong with it is said in the hint
        before, self._filling = self._filling, True
        self._ui.epochsSpinBox.value = max(1, epochs)
        self._filling = before

    def _takeDevices(self) -> None:
        """The devices that the panel has found."""
        source, box = self._ui.deviceSelector, self._ui.trainDeviceSelector
        for index in range(source.count):
            if box.findData(source.itemData(index)) < 0:
                box.addItem(source.itemText(index), source.itemData(index))

    def _onStart(self, _checked: bool = False) -> None:
        parameters = self._panel.parameters
        if parameters is None or self._run is not None:
            return
        self._begin(
            lambda: self._panel.logic.startTraining(
                self._data(),
                parameters.trainRecipe,
                parameters.trainName.strip() or None,
                parameters.trainEpochs or None,
                parameters.trainDevice,
                parameters.model or None,
            )
        )

    def _onResume(self, _checked: bool = False) -> None:
        if self._panel.parameters is None or self._run is not None:
            return
        name = self._resumable()
        self._begin(lambda: self._panel.logic.resumeTraining(name, self._panel.parameters.trainDevice))

    def _onDiscard(self, _checked: bool = False) -> None:
        name = self._resumable() if self._panel.parameters is not None and self._run is None else None
        if name is None or not mayDiscard(name):
            return
        with self._panel.reported(waitCursor=True):
            try:
                self._panel.logic.discardTraining(name)
                self._say(_("{name}: discarded.").format(name=name))
                self._ui.trainChartLabel.hide()
                self._ui.trainVerdictLabel.hide()
            except InputError as error:
                self._say(str(error), "error")
                raise
            finally:
                self._look()
        self.update()

    def _begin(self, begin: Any) -> None:
        self._say("")
        try:
            with self._panel.reported(waitCursor=True):
                try:
                    self._follow(begin())
                except InputError as error:
                    self._say(str(error), "error")
                    raise
        finally:
            self.update()

    def _follow(self, run: TrainingRun) -> None:
        self._run = run
        self._ui.trainProgressBar.value = 0
        self._timer.start()
        self._poll()
        self.update()

    def _onStop(self, _checked: bool = False) -> None:
        self._stop()
        self.update()

    def _stop(self) -> None:
        if self._run is not None:
            with self._panel.reported():
                self._run.stop()
            self._say(_("{name}: stops at a checkpoint...").format(name=self._run.job.name))

    def _poll(self) -> None:
        run = self._run
        if run is None:
            return
        finished, before = True, run.progress.step
        with self._panel.reported():
            finished = run.poll()
        if not self._ui.trainCollapsibleButton.collapsed and (finished or run.progress.step != before):
            self._draw(run)
        if finished:
            self._end(run)
            return
        self._ui.trainProgressBar.value = round(100 * run.progress.fraction)
        if not run.stopping:
            self._say(f"{run.job.name}: {run.progress.text()}")

    def _draw(self, run: TrainingRun) -> None:
        drawTraining(self._ui.trainChartLabel, run.progress)
        self._panel.showIn(self._ui.trainVerdictLabel, run.progress.verdict())

    def _end(self, run: TrainingRun) -> None:
        self._timer.stop()
        self._run = None
        name = run.job.name
        if run.model is not None:
            self._panel.inputs.addModel(name, str(run.model))
            self._say(_("{name}: is trained, and among the models above.").format(name=name))
        elif run.stopped:
            place = run.progress
            self._say(
                _("{name}: stopped in epoch {epoch} of {epochs}; Resume goes on.").format(
                    name=name, epoch=place.epoch, epochs=place.epochs
                )
                if place.epochs
                else _("{name}: stopped before the first step.").format(name=name)
            )
        else:
            self._say(run.error or "", "error")
            self._panel.showStatus(run.error or "", "error")
        self._look()
        self.update()

    def _say(self, text: str, kind: str = "") -> None:
        if (text, kind) != self._message:
            self._message = (text, kind)
            self._panel.showIn(self._ui.trainStatusLabel, text, kind)

    def _onCollapsed(self, collapsed: bool) -> None:
        if not collapsed:
            self._look()
            self.update()
            if self._run is not None:
                self._draw(self._run)

    def _onData(self, path: str) -> None:
        self._set("trainDataList", path)
        if self._panel.parameters is not None and not self._filling:
            self.update()

    def _onDataFolder(self, _checked: bool = False) -> None:
        folder = chooseFolder(self._ui.dataFolderButton, _("Training folder"), self._data())
        if folder:
            self._dataList.show(folder)

    def _onTrainingFolder(self, _path: str) -> None:
        if self._panel.parameters is not None:
            self.update()

    def _onRecipe(self, index: int) -> None:
        if self._panel.parameters is None or self._filling:
            return
        # The number of epochs belongs to the recipe that it was chosen for.
        self._panel.parameters.trainEpochs = 0
        self._set("trainRecipe", self._ui.recipeSelector.itemData(index))
        self._showEpochs()

    def _onName(self, text: str) -> None:
        self._set("trainName", text)

    def _onEpochs(self, value: int) -> None:
        self._set("trainEpochs", value)

    def _onDevice(self, index: int) -> None:
        self._set("trainDevice", self._ui.trainDeviceSelector.itemData(index))

    def _set(self, parameter: str, value: Any) -> None:
        if self._panel.parameters is not None and not self._filling:
            setattr(self._panel.parameters, parameter, value)


def mayDiscard(name: str) -> bool:
    """Ask, since what was learned is lost."""
    text = _("Discard the unfinished training {name}? Its checkpoint is deleted, and it can't be resumed.")
    return slicer.util.confirmOkCancelDisplay(text.format(name=name), windowTitle=_("Discard training"))


def describe(plan: Plan) -> str:
    """What a training would do, in a line."""
    text = _("Cases: {count}").format(count=len(plan.scans.training))
    if plan.scans.validation:
        text += _(", and {count} to watch").format(count=len(plan.scans.validation))
    if plan.start:
        text += _("; starts from {model}").format(model=plan.start)
    if plan.labels_by:
        text += _("; labels by {model} first").format(model=plan.labels_by)
    return text + "."
