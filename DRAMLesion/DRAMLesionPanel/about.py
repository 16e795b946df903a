"""What the module says of itself, and what it registers when Slicer has started."""

from pathlib import Path

import slicer
from slicer.i18n import tr as _


def helpText() -> str:
    """What the module does, and what to cite."""
    return _(
        "Finds COVID-19 lesions in chest CT and quantifies them per lobe with dense regression activation maps "
        "(dRAM). Paint where it is wrong, and the rest follows; the Segment Editor's effect <i>DRAM refine</i> does so "
        "for any segment. <b>Research use only, not for diagnosis.</b>"
        '<p><a href="https://github.com/DRAMLesion/SlicerDRAMLesion#readme">Documentation</a></p>'
        "<p>To try it: <i>DRAM phantom</i> in the module Sample Data.</p>"
        "<p>Please cite: Xie W., Jacobs C., Charbonnier J.-P., van Ginneken B., <i>Dense Regression Activation "
        'Maps for Lesion Segmentation in CT scans of COVID-19 patients</i>, <a href="https://arxiv.org/abs/'
        '2105.11748">arXiv 2105.11748</a>.</p>'
    )


def acknowledgementText() -> str:
    """Whose method it is."""
    return _(
        "The method is by the Diagnostic Image Analysis Group, Radboud University Medical Center, Nijmegen."
    )


def onStartup() -> None:
    """Register terminology and sample data, once Slicer's own modules are there."""
    from DRAMLesionPanel.sample_data import registerSampleData

    loadTerminology()
    registerSampleData()


def loadTerminology() -> None:
    """Let Slicer name lobes and lesion by the terms that the results carry."""
    import DRAMLesionLib

    path = Path(DRAMLesionLib.__file__).parent / "terminologies" / "DRAMLesion.term.json"
    slicer.modules.terminologies.logic().LoadTerminologyFromFile(str(path))
