"""Faults in runs over whole folders."""

from .fault import Fault

FAULTS = (
    Fault(
        "the last case of a batch is lost when its table is read",
        "DRAMLesionLib/batch/tables.py",
        "    if regions:\n        yield name, regions\n",
        "",
        "Testing/unit/batch/test_batch_report.py",
    ),
    Fault(
        "a case without a table ends the table of the batch",
        "DRAMLesionLib/batch/tables.py",
        "            except (OSError, KeyError):\n                continue\n",
        "            except (OSError, KeyError):\n                break\n",
        "Testing/unit/batch/test_batch_report.py",
    ),
    Fault(
        "the batch's quartiles are wider",
        "DRAMLesionLib/batch/report.py",
        "np.percentile(values, [25, 50, 75])",
        "np.percentile(values, [5, 50, 95])",
        "Testing/unit/batch/test_batch_report.py",
    ),
    Fault(
        "a case without a lobe does not stand out",
        "DRAMLesionLib/batch/report.py",
        "case.lobes.items() if percent is None",
        "case.lobes.items() if percent == -1",
        "Testing/unit/batch/test_batch_report.py",
    ),
    Fault(
        "severe cases among mild ones stand out by themselves",
        "DRAMLesionLib/batch/report.py",
        "        values = np.sqrt(values)\n",
        "        pass\n",
        "Testing/unit/batch/test_batch_report.py",
    ),
    Fault(
        "the batch's report lists mild cases first",
        "DRAMLesionLib/batch/report.py",
        "np.argsort(-np.nan_to_num(percent)",
        "np.argsort(np.nan_to_num(percent)",
        "Testing/unit/batch/test_batch_report.py",
    ),
    Fault(
        "given lobes count as approximate",
        "DRAMLesionLib/batch/report.py",
        'row["lobes"] == "approximate"',
        'row["lobes"] != "approximate"',
        "Testing/unit/batch/test_batch_report.py",
    ),
    Fault(
        "a case's link is broken by a blank",
        "DRAMLesionLib/batch/report.py",
        "quote(self.name)",
        "self.name",
        "Testing/unit/batch/test_batch_report.py",
    ),
    Fault(
        "an outlier is said to lie on the other side",
        "DRAMLesionLib/batch/report.py",
        'side = "high" if distance > 0',
        'side = "high" if distance < 0',
        "Testing/unit/batch/test_batch_report.py",
    ),
    Fault(
        "a batch's score chart runs backwards",
        "DRAMLesionLib/batch/figures.py",
        "np.bincount(scores, minlength=most + 1)",
        "np.bincount(scores, minlength=most + 1)[::-1]",
        "Testing/unit/batch/test_batch_report.py",
    ),
    Fault(
        "severe cases lie outside the batch's chart",
        "DRAMLesionLib/batch/figures.py",
        "    axes.set_xlim(0.0, top)\n",
        "    axes.set_xlim(0.0, 5.0)\n",
        "Testing/unit/batch/test_batch_report.py",
    ),
    Fault(
        "ground glass and consolidation change their axes",
        "DRAMLesionLib/batch/figures.py",
        "        ground_glass_ml, consolidation_ml, s=size",
        "        consolidation_ml, ground_glass_ml, s=size",
        "Testing/unit/batch/test_batch_report.py",
    ),
    Fault(
        "a line of the manifest is not on the disk",
        "DRAMLesionLib/batch/manifest.py",
        "            os.fsync(self._file.fileno())\n",
        "",
        "Testing/unit/batch/test_manifest.py",
    ),
    Fault(
        "a compacted manifest keeps each case's first line",
        "DRAMLesionLib/batch/manifest.py",
        'places[line.split(b",", 1)[0].decode("utf-8", "replace")] = (start, len(line))',
        'places.setdefault(line.split(b",", 1)[0].decode("utf-8", "replace"), (start, len(line)))',
        "Testing/unit/batch/test_manifest.py",
    ),
)
