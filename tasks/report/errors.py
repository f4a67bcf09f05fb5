"""What keeps a report from being written."""


class ReportError(ValueError):
    """A folder is missing or holds no run that a report could show."""
