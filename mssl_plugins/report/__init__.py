"""The report of one run or several: one self-contained HTML file.

folder -> facts (run) -> curves and figures (plots, figures) -> page.
"""
