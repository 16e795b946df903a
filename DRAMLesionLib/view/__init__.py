"""The page in a browser: results read, steered and corrected without Slicer's desktop application.

trame-slicer shows the scene; what is shown, and what a stroke or a slider does, are the library's: results, correction,
steering, tables and the list of lesions are those of Slicer's panel.
"""
