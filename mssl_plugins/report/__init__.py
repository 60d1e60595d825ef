"""The report of one run or several: one HTML file that holds all it shows.

folder -> facts (run) -> curves and figures (plots, figures) -> page.
"""
