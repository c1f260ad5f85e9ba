"""Services that always answer: what a callback raises becomes the refusal of the request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import SetParametersResult

from sim_perception.ros.diagnostics import describe_error

Callback = Callable[[Any, Any], Any]


def answering(callback: Callback, report: Callable[[str], None]) -> Callback:
    """Return a service's callback that refuses, with the reason, where the given one raises.

    Without an answer a caller would wait for ever.

    Args:
        callback: takes the request and an empty response and returns the response.
        report: called with the reason.
    """

    def answer(request: Any, response: Any) -> Any:
        try:
            return callback(request, response)
        # Any value that the wire can carry may be in a request.
        except Exception as error:
            reason = describe_error(error)
            report(f'a {type(request).__name__.removesuffix("_Request")} was refused: {reason}')
            return _refusal(request, type(response)(), reason)

    return answer


def _refusal(request: Any, response: Any, reason: str) -> Any:
    """Fill those of a response's fields that can say that and why nothing was done."""
    refused = SetParametersResult(successful=False, reason=reason)
    if hasattr(response, 'results') and hasattr(request, 'parameters'):
        response.results = [refused for _ in request.parameters]
    elif isinstance(getattr(response, 'result', None), SetParametersResult):
        response.result = refused
    if hasattr(response, 'success') and hasattr(response, 'message'):
        response.success, response.message = False, reason
    return response
