"""Faults in the panel in Slicer."""

from .fault import Fault

FAULTS = (
    Fault(
        "a fine-tuned model loses the terms of its start",
        "DRAMLesion/DRAMLesionPanel/train/plan.py",
        '        changes["licence"] = text + "\\n"\n',
        "        pass\n",
        "Testing/panel/test_panel_training.py",
    ),
    Fault(
        "no accepted case is set aside to watch a training",
        "DRAMLesion/DRAMLesionPanel/train/plan.py",
        "len(scans.training) >= CASES_TO_WATCH_SOME",
        "len(scans.training) >= 100",
        "Testing/panel/test_training_plan.py",
    ),
    Fault(
        "a model may have a shipped one's name in other letters",
        "DRAMLesion/DRAMLesionPanel/train/plan.py",
        "known = {other.lower(): other for other in taken}",
        "known = {other: other for other in taken}",
        "Testing/panel/test_training_plan.py",
    ),
    Fault(
        "a free name is one that differs in letters alone",
        "DRAMLesion/DRAMLesionPanel/train/plan.py",
        "known = {name.lower() for name in taken}",
        "known = set(taken)",
        "Testing/panel/test_training_plan.py",
    ),
    Fault(
        "a dRAM model is taken for the final network to start from",
        "DRAMLesion/DRAMLesionPanel/train/plan.py",
        'kindOf(name) == "segmentation"',
        "kindOf(name) is not None",
        "Testing/panel/test_training_plan.py",
    ),
    Fault(
        "the bar of a run goes back",
        "DRAMLesion/DRAMLesionPanel/segment/estimate.py",
        "self.fraction = max(self.fraction, before + self._shares[stage] * min(max(fraction, 0.0), 1.0))",
        "self.fraction = before + self._shares[stage] * min(max(fraction, 0.0), 1.0)",
        "Testing/panel/test_panel.py",
    ),
    Fault(
        "TotalSegmentator's failure leaves a node",
        "DRAMLesion/DRAMLesionPanel/segment/total_segmentator.py",
        "                slicer.mrmlScene.RemoveNode(node)\n",
        "                pass\n",
        "Testing/panel/test_panel_choices.py",
    ),
    Fault(
        "a labelling's bar starts anew with each case",
        "DRAMLesion/DRAMLesionPanel/train/progress.py",
        "return (int(found[1]) - 1) / int(found[2]) if found else 0.0",
        "return 0.0",
        "Testing/panel/test_training_plan.py",
    ),
    Fault(
        "a training's loss curve ends early",
        "DRAMLesion/DRAMLesionPanel/train/progress.py",
        "        scale = self.epochs / self.steps\n",
        "        scale = 0.5 * self.epochs / self.steps\n",
        "Testing/panel/test_panel_training.py",
    ),
    Fault(
        "a stroke where nothing may change stays",
        "DRAMLesion/DRAMLesionPanel/correct/recogniser.py",
        "                after[refused] = before[refused]\n",
        "                pass\n",
        "Testing/panel/test_recogniser.py",
    ),
    Fault(
        "voxels that went out are a stroke of lesion",
        "DRAMLesion/DRAMLesionPanel/correct/recogniser.py",
        "(NOT_LESION, self.after < self.before)",
        "(LESION, self.after < self.before)",
        "Testing/panel/test_recogniser.py",
    ),
    Fault(
        "the printed report keeps silent on approximate lobes",
        "DRAMLesion/DRAMLesionPanel/results/report_file.py",
        '    if facts["lobes"]["approximate"]:\n',
        '    if not facts["lobes"]["approximate"]:\n',
        "Testing/panel/test_panel_choices.py",
    ),
)
