"""Stand-ins for the qMRML widgets that the panel uses; ``slicer`` gets them as attributes."""

import typing
from pathlib import Path

import qt
import shiboken6
import slicer
from PySide6.QtCore import Property, Signal


def _remembered(kind, name, default):
    def get(self):
        return self.settings.get(name, default)

    def put(self, value):
        self.settings[name] = value
        self.refresh()

    return Property(kind, get, put)


class _SceneUser:
    """Mixin: has a scene."""

    def mrmlScene(self):
        return getattr(self, "_scene", None)

    def setMRMLScene(self, scene):
        self._scene = scene


def _inSlicer(cls):
    setattr(slicer, cls.__name__, cls)
    return qt.custom(cls)


@_inSlicer
class qMRMLWidget(qt.QWidget, _SceneUser):
    """The root of a panel. Others get its scene by the connections that stand in the .ui, and by nothing else."""

    mrmlSceneChanged = Signal(object)

    def setMRMLScene(self, scene):
        self._scene = scene
        for name in self.property("sceneReceivers") or ():
            self.findChild(qt.QWidget, name).setMRMLScene(scene)
        self.mrmlSceneChanged.emit(scene)


@_inSlicer
class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """What a module's panel lies in; it knows whether the user is in the module."""

    entered, module = False, None

    def enter(self):
        self.entered = True
        self.module.enter()

    def exit(self):
        self.entered = False
        self.module.exit()

    def reload(self):
        self.module = self.makeModule(self)
        self.module.setup()

    isEntered = Property(bool, lambda self: self.entered)


class qMRMLSortFilterProxyModel(qt.QObject):
    """What a selector shows of the scene."""

    def __init__(self, box):
        super().__init__()
        self._box, self._hidden = box, []

    def _hide(self, names):
        self._hidden = list(names)
        self._box.refresh()

    hiddenNodeIDs = Property("QStringList", lambda self: self._hidden, _hide)


@_inSlicer
class qMRMLNodeComboBox(qt.QWidget, _SceneUser):
    """Chooses one of the scene's nodes."""

    currentNodeChanged = Signal(object)

    def __init__(self, parent=None):
        super().__init__(parent)
        self.settings = {}
        self._tags, self._refreshing = [], False
        self._filter = qMRMLSortFilterProxyModel(self)
        self._box = qt.QComboBox()
        self._box.sizeAdjustPolicy = qt.QComboBox.AdjustToMinimumContentsLengthWithIcon
        row = qt.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._box)
        self._box.currentIndexChanged.connect(self._onIndex)

    def setMRMLScene(self, scene):
        self._scene = scene
        events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent, scene.EndImportEvent)
        tags = [scene.AddObserver(event, lambda *_: self.refresh()) for event in events]
        self.destroyed.connect(lambda *_: [scene.RemoveObserver(tag) for tag in tags])
        self.refresh()

    def refresh(self):
        if not shiboken6.isValid(self) or self.mrmlScene() is None:
            return
        before = self.currentNodeID
        self._refreshing = True
        self._box.clear()
        if self.noneEnabled:
            self._box.addItem(self.noneDisplay or "None", "")
        for node in slicer.util.getNodesByClass("vtkMRMLNode"):
            fits = self._hasAttributes(node) and (
                node.GetClassName() in self.nodeTypes
                or (self.showChildNodeTypes and any(node.IsA(kind) for kind in self.nodeTypes))
            )
            if fits and not node.GetHideFromEditors() and node.GetID() not in self._filter._hidden:
                self._box.addItem(node.GetName(), node.GetID())
        self._box.setCurrentIndex(max(0, self._box.findData(before)) if self._box.count else -1)
        self._refreshing = False
        if self.currentNodeID != before:
            self.currentNodeChanged.emit(self.currentNode())

    def _onIndex(self, _index):
        if not self._refreshing:
            self.currentNodeChanged.emit(self.currentNode())

    def _hasAttributes(self, node):
        wanted = self.__dict__.get("_attributes", [])
        mine = [(name, value) for kind, name, value in wanted if node.IsA(kind)]
        return all(node.GetAttribute(name) == value for name, value in mine)

    def sortFilterProxyModel(self):
        return self._filter

    def addAttribute(self, kind, name, value=None):
        self.__dict__.setdefault("_attributes", []).append((kind, name, value))
        if self.mrmlScene() is not None:
            self.refresh()

    def currentNode(self):
        return self.mrmlScene().GetNodeByID(self.currentNodeID) if self.currentNodeID else None

    def setCurrentNode(self, node):
        self.refresh()
        self._box.setCurrentIndex(max(0, self._box.findData(node.GetID() if node else "")))

    currentNodeID = Property(str, lambda self: self._box.currentData or "")
    nodeTypes = _remembered("QStringList", "nodeTypes", [])
    noneEnabled = _remembered(bool, "noneEnabled", False)
    noneDisplay = _remembered(str, "noneDisplay", "")
    addEnabled = _remembered(bool, "addEnabled", True)
    removeEnabled = _remembered(bool, "removeEnabled", True)
    showChildNodeTypes = _remembered(bool, "showChildNodeTypes", True)


@_inSlicer
class qMRMLTableView(qt.QTableView, _SceneUser):
    """Shows a table node and follows it."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self._node, self._tag = None, None
        self.setModel(qt.QStandardItemModel())

    def setMRMLTableNode(self, node):
        if node is self._node:
            return
        if self._node is not None:
            self._node.RemoveObserver(self._tag)
        self._node = node
        if node is not None:
            self._tag = node.AddObserver("ModifiedEvent", lambda *_: self._fill())
        self._fill()
        self.horizontalHeader().setMinimumSectionSize(60)
        self.resizeColumnsToContents()

    def mrmlTableNode(self):
        return self._node

    def _fill(self):
        """As qMRMLTableModel: column names are headers where the node says so; else they are a row, under letters."""
        if not shiboken6.isValid(self):
            return
        model = self.model()
        model.clear()
        if self._node is None:
            return
        table = self._node.GetTable()
        rows, columns = range(table.GetNumberOfRows()), range(table.GetNumberOfColumns())
        values = [[table.GetValue(row, column).ToString() for row in rows] for column in columns]
        names = [table.GetColumnName(column) for column in columns]
        titled = self._node.GetUseColumnTitleAsColumnHeader()
        if not titled:
            values = [[name, *texts] for name, texts in zip(names, values, strict=True)]
        if values and self._node.GetUseFirstColumnAsRowHeader():
            model.setVerticalHeaderLabels(values.pop(0))
            names.pop(0)
        for column, texts in enumerate(values):
            for row, text in enumerate(texts):
                model.setItem(row, column, qt.QStandardItem(text))
        model.setHorizontalHeaderLabels(
            names if titled else [chr(65 + number) for number in range(len(names))]
        )


@_inSlicer
class qMRMLSegmentEditorWidget(qt.QWidget, _SceneUser):
    """The embedded editor: buttons for show, the real editor logic underneath."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self.settings, self._effect, self._effects, self._clones, self.shortcuts = {}, None, [], {}, []
        self.logic = slicer.vtkSlicerSegmentEditorLogic()
        column = qt.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self._table = qt.QTableWidget(0, 1)
        self._table.setHorizontalHeaderLabels(["Segment"])
        self._table.horizontalHeader().setStretchLastSection(True)
        self._table.setFixedHeight(70)
        column.addWidget(self._table)
        self._buttons = qt.QHBoxLayout()
        column.addLayout(self._buttons)

    def refresh(self):
        pass

    def setMRMLScene(self, scene):
        self._scene = scene
        self.logic.SetMRMLScene(scene)

    def setMRMLSegmentEditorNode(self, node):
        self.logic.SetSegmentEditorNode(node)

    def setSegmentationNode(self, node):
        if self.logic.GetSegmentEditorNode() is not None:
            self.logic.SetSegmentationNode(node)
        ids = node.GetSegmentation().GetSegmentIDs() if node else []
        self._table.setRowCount(len(ids))
        for row, segmentID in enumerate(ids):
            name = node.GetSegmentation().GetSegment(segmentID).GetName()
            self._table.setItem(row, 0, qt.QTableWidgetItem(name))

    def segmentationNode(self):
        return self.logic.GetSegmentationNode()

    def setSourceVolumeNode(self, node):
        self.logic.SetSourceVolumeNode(node)

    def setCurrentSegmentID(self, segmentID):
        self.logic.SetCurrentSegmentID(segmentID)

    def currentSegmentID(self):
        return self.logic.GetCurrentSegmentID()

    def setEffectNameOrder(self, names):
        self._effects = list(names)
        for name in names:
            button = qt.QToolButton()
            button.text = name
            self._buttons.addWidget(button)
        self._buttons.addStretch(1)

    def setActiveEffect(self, effect):
        if hasattr(self._effect, "deactivate"):
            self._effect.deactivate()
        self._effect = effect

    def setActiveEffectByName(self, name):
        """The editor's own clone of a registered effect, with its options shown."""
        self.setActiveEffect(None)
        if name not in self._clones:
            registered = slicer.qSlicerSegmentEditorEffectFactory.instance().effects.get(name)
            if registered is None:
                return
            clone = registered.self().clone()
            clone.logic = self.logic
            self._clones[name] = clone
            clone.self().setMRMLDefaults()
            self.layout().addWidget(clone.optionsFrame())
        self.setActiveEffect(self._clones[name])
        self._effect.activate()
        self._effect.self().updateGUIFromMRML()

    def undo(self):
        self.logic.Undo()

    def redo(self):
        self.logic.Redo()

    def activeEffect(self):
        return self._effect

    viewsObserved = False

    def setupViewObservations(self):
        self.viewsObserved = True

    def removeViewObservations(self):
        self.viewsObserved = False

    def installKeyboardShortcuts(self, parent=None):
        """Undo and redo, whatever undoEnabled says: that hides their buttons only."""
        self.uninstallKeyboardShortcuts()
        parent = parent or slicer.util.mainWindow()
        keys = (("Z", self.undo), ("Ctrl+Z", self.undo), ("Y", self.redo), ("Ctrl+Y", self.redo))
        for key, slot in keys:
            shortcut = qt.QShortcut(qt.QKeySequence(key), parent)
            shortcut.activated.connect(slot)
            self.shortcuts.append(shortcut)

    def uninstallKeyboardShortcuts(self):
        for shortcut in self.shortcuts:
            shortcut.setParent(None)
            shortcut.deleteLater()
        self.shortcuts = []

    def saveStateForUndo(self):
        self.logic.SaveStateForUndo()

    def _setMost(self, count):
        self.logic.SetMaximumNumberOfUndoStates(count)

    maximumNumberOfUndoStates = Property(
        int, lambda self: self.logic.GetMaximumNumberOfUndoStates(), _setMost
    )

    segmentationNodeSelectorVisible = _remembered(bool, "segmentationNodeSelectorVisible", True)
    sourceVolumeNodeSelectorVisible = _remembered(bool, "sourceVolumeNodeSelectorVisible", True)
    addRemoveSegmentButtonsVisible = _remembered(bool, "addRemoveSegmentButtonsVisible", True)
    switchToSegmentationsButtonVisible = _remembered(bool, "switchToSegmentationsButtonVisible", True)
    specifyGeometryButtonVisible = _remembered(bool, "specifyGeometryButtonVisible", True)
    show3DButtonVisible = _remembered(bool, "show3DButtonVisible", True)
    maskingSectionVisible = _remembered(bool, "maskingSectionVisible", True)
    undoEnabled = _remembered(bool, "undoEnabled", True)
    unorderedEffectsVisible = _remembered(bool, "unorderedEffectsVisible", True)


@_inSlicer
class qSlicerWebWidget(qt.QWidget):
    """The browser inside Slicer, as qSlicerWebWidget.cxx has it: it loads and prints in a process of its own and answers
    by signals, later; what is printed before the page is there is empty. Here the PDF has the page's title alone."""

    loadFinished = Signal(bool)
    pdfPrintingFinished = Signal(str, bool)
    printed: typing.ClassVar[list] = []
    """What was printed: the page's text, and the layout's margins in mm."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self._url, self._text = "", ""

    def _load(self, url):
        self._url, self._text = url, ""
        qt.QTimer.singleShot(0, self, self._loaded)

    def _loaded(self):
        file = Path(qt.QUrl(self._url).toLocalFile())
        if file.is_file():
            self._text = file.read_text(encoding="utf-8")
        self.loadFinished.emit(bool(self._text))

    def printToPdf(self, path, layout=None):
        qt.QTimer.singleShot(0, self, lambda: self._print(path, layout or qt.QPageLayout()))

    def _print(self, path, layout):
        margins = layout.margins(qt.QPageLayout.Millimeter)
        self.printed.append(
            (self._text, [getattr(margins, side)() for side in ("left", "top", "right", "bottom")])
        )
        painter, device = qt.QPainter(), qt.QPdfWriter(path)
        device.setPageLayout(layout)
        done = painter.begin(device)
        if done:
            painter.drawText(500, 500, self._text.partition("<title>")[2].partition("</title>")[0])
            painter.end()
        self.pdfPrintingFinished.emit(path, done)

    url = Property(str, lambda self: self._url, _load)
