"""The exceptions of a transform look-up."""


class TransformException(Exception):
    """Base of all transform errors."""


class LookupException(TransformException):
    """A frame does not exist."""


class ConnectivityException(TransformException):
    """Two frames are in trees that are not connected."""


class ExtrapolationException(TransformException):
    """The requested time is outside the data."""


class InvalidArgumentException(TransformException):
    """An argument makes no sense, such as an empty frame name."""


class TimeoutException(TransformException):
    """A request took too long."""
