"""All that knows SQL or how Optuna stores: tables, rows, what is read out of both."""
