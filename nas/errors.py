"""What can go wrong, and who can fix it.

NasError                    everything this package raises on purpose
├── UserError               the user can fix it; the command line prints one line and exits with 2
│   ├── ConfigError         a study, space or architecture file, or a value given on the command line
│   ├── ArchitectureError   a network that cannot exist (feature map too small, channels that do not join)
│   ├── BudgetError         no network of the space meets the budget
│   ├── DataError           images that are missing or cannot be read
│   ├── DeviceError         a device that this machine lacks
│   ├── WeightsError        weights that are not those of a network
│   ├── StudyError          a study or trial that is missing, changed or not ours
│   ├── ExportError         a folder that cannot be written
│   ├── VariantError        a compressed network that is worse than allowed, or no faster
│   └── BundleError         an exported folder that is damaged, incomplete or not ours
├── Interrupted             Ctrl-C; the message says what is kept and how to continue: exit code 130
├── TrainingDiverged        a loss that is no longer finite: the trial fails, the study goes on
├── TrainingStopped         a training that was told to stop; it goes on from its checkpoint
└── MeasurementError        a cost that cannot be measured honestly (an operator nobody counted)
"""


class NasError(Exception):
    """Base of everything this package raises on purpose."""


class UserError(NasError, ValueError):
    """A mistake that the user can fix. The message is one line: what was given, what is allowed, where."""


class ConfigError(UserError):
    """A file or value that is not valid."""


class ArchitectureError(UserError):
    """A network that cannot exist."""


class BudgetError(UserError):
    """A budget that no network of the search space meets."""


class DataError(UserError):
    """Images that are missing, too few or unreadable."""


class DeviceError(UserError):
    """A device that this machine lacks."""


class WeightsError(UserError):
    """Weights that are not those of a network."""


class StudyError(UserError):
    """A study or trial that is missing, changed, or belongs to another program."""


class ExportError(UserError):
    """An output that cannot be written or does not check out."""


class VariantError(UserError):
    """A compressed network that is worse than allowed, or no faster."""


class BundleError(ExportError):
    """An exported folder that is damaged, incomplete or not ours."""


class Interrupted(NasError):
    """Ctrl-C; the message says what is kept and how to continue."""


class TrainingDiverged(NasError):
    """The training loss is no longer finite."""


class TrainingStopped(NasError):
    """A training was told to stop; its checkpoint is written."""


class MeasurementError(NasError):
    """A cost that cannot be measured honestly."""
