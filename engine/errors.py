"""Every error a user can cause or meet, in one tree.

PrefscopeError            a sentence for the user: what, where, what was found, what was expected
├── ConfigError           a field of a run's configuration or preset
├── DataError             a file, record or field of a dataset or of imported results
│   └── RecordError       one record is refused, under a named reason
├── ModelError            a model folder, tokenizer or chat template
├── RunError              a run that cannot start, continue or be changed
│   └── TooLargeError     memory does not suffice for it
├── ServeError            the playground's process: busy, gone, or asked for what it cannot give
└── StoreError            the database: busy past the deadline, or unreadable
"""


class PrefscopeError(Exception):
    """Base of all errors whose message is meant for the user."""


class ConfigError(PrefscopeError):
    """A configuration field has a value that is refused."""


class DataError(PrefscopeError):
    """A record, file or folder of data cannot be used."""


class RecordError(DataError):
    """One record is refused; `reason` is the name it is counted under (engine.data.formats.REASONS)."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ModelError(PrefscopeError):
    """A model, tokenizer or chat template cannot be used."""


class RunError(PrefscopeError):
    """A run cannot start, continue or be changed."""


class TooLargeError(RunError):
    """Memory does not suffice for a run."""


class ServeError(PrefscopeError):
    """The playground's process cannot do what was asked."""


class StoreError(PrefscopeError):
    """The database cannot be read or written."""
