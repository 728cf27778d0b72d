"""An architecture becomes an nn.Module, and what it costs is measured on it."""
