"""The report for a reader: one HTML file that answers on its first page how much, where, and with what reservations.

It asks nothing of a network: pictures and style are inside.
"""

from DRAMLesionLib.results.report.page import PICTURE_TITLES, Drawings, draw, write_report

__all__ = ["PICTURE_TITLES", "Drawings", "draw", "write_report"]
