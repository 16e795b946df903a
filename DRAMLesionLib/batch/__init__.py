"""Many CTs at once, or one after the other: cases, workers, the manifest, the cohort's table and report."""

from DRAMLesionLib.batch.run import BatchResult, CaseEvent, Workers, segment_batch

__all__ = ["BatchResult", "CaseEvent", "Workers", "segment_batch"]
