"""A sampler for any Optuna study of one learned objective and one known cost."""
