"""Evidence for the papers' claims: studies, runs, statistics, the page."""
