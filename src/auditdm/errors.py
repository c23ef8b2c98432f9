"""What can go wrong in the user's world. The command line prints these without a traceback."""


class AuditError(Exception):
    """Anything a user can meet and mend."""


class ConfigError(AuditError):
    """The configuration or a path in it is wrong; the message says which key, what was found and what is allowed."""


class ModelError(AuditError):
    """A model could not be loaded, or a whole batch could not be answered."""


class StoreError(AuditError):
    """The run folder cannot be read or written."""


class MalformedProposal(AuditError):
    """The auditor's reply is not a proposal; the message says which part is missing."""
