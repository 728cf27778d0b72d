"""A study file as values: what a study is, how it searches, what a network may cost."""
