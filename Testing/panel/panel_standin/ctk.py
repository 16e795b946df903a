"""Stand-ins for the ctk widgets that the panel uses, as CTK's sources have them."""

import re

import qt
from PySide6.QtCore import Property, Signal


def _value(kind, name, default):
    """A property that only remembers its value."""
    key = f"_{name}"

    def get(self):
        return getattr(self, key, default)

    def put(self, value):
        setattr(self, key, value)

    return Property(kind, get, put)


@qt.custom
class ctkCollapsibleButton(qt.QAbstractButton):
    """A titled frame that folds."""

    contentsCollapsed = Signal(bool)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._folded = False
        self.setContentsMargins(4, 28, 4, 4)
        policy = qt.QSizePolicy(qt.QSizePolicy.Preferred, qt.QSizePolicy.Minimum)
        policy.setHeightForWidth(True)
        self.sizePolicy = policy
        self.clicked.connect(lambda *_: self._fold(not self._folded))

    def _fold(self, folded):
        if folded == self._folded:
            return
        self._folded = folded
        self.setMaximumHeight(26 if folded else 16777215)
        for child in self.children():
            if isinstance(child, qt.QWidget):
                child.setVisible(not folded)
        self.contentsCollapsed.emit(folded)

    def sizeHint(self):
        hint = self.layout().sizeHint() if self.layout() else qt.QSize(100, 26)
        return qt.QSize(hint.width(), 26) if self._folded else hint

    def minimumSizeHint(self):
        return self.sizeHint()

    def hasHeightForWidth(self):
        return not self._folded and self.layout() is not None and self.layout().hasHeightForWidth()

    def heightForWidth(self, width):
        return self.layout().totalHeightForWidth(width) if self.hasHeightForWidth() else -1

    def showEvent(self, event):
        super().showEvent(event)
        for child in self.children():
            if isinstance(child, qt.QWidget) and self._folded:
                child.hide()

    def paintEvent(self, event):
        painter = qt.QPainter(self)
        head = qt.QRect(0, 2, self.width, 22)
        painter.fillRect(head, self.palette.color(qt.QPalette.Button))
        arrow = "▸" if self._folded else "▾"
        painter.setPen(
            self.palette.color(
                qt.QPalette.Active if self.enabled else qt.QPalette.Disabled, qt.QPalette.ButtonText
            )
        )
        painter.drawText(head.adjusted(6, 0, 0, 0), qt.Qt.AlignVCenter, f"{arrow}  {self.text}")
        painter.end()

    collapsed = Property(bool, lambda self: self._folded, lambda self, value: self._fold(bool(value)))


@qt.custom
class ctkSliderWidget(qt.QWidget):
    """A slider with a spin box."""

    valueChanged = Signal(float)

    def __init__(self, parent=None):
        super().__init__(parent)
        row = qt.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self._slider, self._box = qt.QSlider(qt.Qt.Horizontal), qt.QDoubleSpinBox()
        self._slider.setRange(0, 1000)
        row.addWidget(self._slider, 1)
        row.addWidget(self._box)
        self._slider.sliderMoved.connect(
            lambda place: self._box.setValue(self.minimum + (self.maximum - self.minimum) * place / 1000)
        )
        self._box.valueChanged.connect(self._follow)

    def _follow(self, value):
        span = self.maximum - self.minimum
        self._slider.setValue(round(1000 * (value - self.minimum) / span) if span else 0)
        self.valueChanged.emit(value)

    def setValue(self, value):
        self._box.setValue(value)

    value = Property(float, lambda self: self._box.value, setValue)
    minimum = Property(float, lambda self: self._box.minimum, lambda self, v: self._box.setMinimum(v))
    maximum = Property(float, lambda self: self._box.maximum, lambda self, v: self._box.setMaximum(v))
    decimals = Property(int, lambda self: self._box.decimals, lambda self, v: self._box.setDecimals(v))
    singleStep = Property(
        float, lambda self: self._box.singleStep, lambda self, v: self._box.setSingleStep(v)
    )
    suffix = Property(str, lambda self: self._box.suffix, lambda self, v: self._box.setSuffix(v))
    pageStep = _value(float, "pageStep", 0.1)


@qt.custom
class ctkPathLineEdit(qt.QWidget):
    """A path with a browse button. As CTK's: it tells of acceptable input alone, which an empty text never is, and one
    that no name filter fits is not; a setting key brings the last path back."""

    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)
    _MOST = 5

    def __init__(self, parent=None):
        super().__init__(parent)
        row = qt.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self._combo, self._browse = qt.QComboBox(), qt.QToolButton()
        self._combo.editable = True
        self._combo.insertPolicy = qt.QComboBox.NoInsert
        self._edit = self._combo.lineEdit()
        self._browse.text = "..."
        row.addWidget(self._combo, 1)
        row.addWidget(self._browse)
        self._wasValid = False
        self._edit.textChanged.connect(self._onText)

    def _isValid(self):
        endings = [word for part in self.nameFilters for word in re.findall(r"\*(\.\w+|\b)", part)]
        return bool(self.currentPath) and (not endings or self.currentPath.endswith(tuple(endings)))

    def _onText(self, text):
        before, self._wasValid = self._wasValid, self._isValid()
        if self._wasValid:
            self.currentPathChanged.emit(text)
        if self._wasValid != before:
            self.validInputChanged.emit(self._wasValid)

    def _key(self):
        return f"ctkPathLineEdit/{self._settingKey or self.objectName}"

    def _history(self):
        kept = qt.QSettings().value(self._key()) or []
        return [kept] if isinstance(kept, str) else list(kept)

    def retrieveHistory(self):
        path, blocked = self.currentPath, self.blockSignals(True)
        self._combo.clear()
        for known in self._history()[: self._MOST]:
            self._combo.addItem(known)
        if path:
            self._edit.setText(path)
            self.blockSignals(blocked)
        else:
            self.blockSignals(blocked)
            self._edit.setText("")
            self._combo.setCurrentIndex(0)
            self._edit.setText(self._combo.itemText(0))

    def addCurrentPathToHistory(self):
        path = self.currentPath
        if path:
            history = [path, *(known for known in self._history() if known != path)]
            qt.QSettings().setValue(self._key(), history)
            if self._combo.findText(path) < 0:
                self._combo.insertItem(0, path)
            self._combo.setCurrentIndex(self._combo.findText(path))

    def setCurrentPath(self, path):
        self._edit.setText(path)

    def _setKey(self, key):
        self._settingKey = key
        self.retrieveHistory()

    _settingKey = ""
    currentPath = Property(str, lambda self: self._edit.text, setCurrentPath)
    settingKey = Property(str, lambda self: self._settingKey, _setKey)
    filters = _value(int, "filters", 0)
    nameFilters = _value("QStringList", "nameFilters", [])
