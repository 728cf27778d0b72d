"""A study in optuna-dashboard, which looks at a copy."""
