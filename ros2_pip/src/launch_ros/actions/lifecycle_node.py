"""An action that starts a lifecycle node and changes its state on request."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING

import launch.logging
from launch.actions import OpaqueFunction
from launch.event_handler import EventHandler
from launch.launch_context import LaunchContext
from launch.substitution import SomeSubstitutionsType

from ..events.lifecycle import ChangeState, StateTransition
from ..ros_adapters import get_ros_node
from .node import Node

if TYPE_CHECKING:
    import lifecycle_msgs.msg
    import lifecycle_msgs.srv

_POLL = 1.0  # seconds between looks at whether the launch ends


class LifecycleNode(Node):
    """A node with states: emits StateTransition events and obeys ChangeState events."""

    def __init__(
        self, *, name: SomeSubstitutionsType, namespace: SomeSubstitutionsType, **kwargs
    ) -> None:
        super().__init__(name=name, namespace=namespace, **kwargs)
        self.__logger = launch.logging.get_logger('launch_ros')

    def execute(self, context: LaunchContext) -> None:
        """Start the node and listen to its transitions."""
        from lifecycle_msgs.msg import TransitionEvent
        from lifecycle_msgs.srv import ChangeState as ChangeStateService

        self._perform_substitutions(context)
        if self.UNSPECIFIED_NODE_NAME in self.node_name:
            raise RuntimeError('node_name unexpectedly incomplete for lifecycle node')
        node = get_ros_node(context)
        self.__subscription = node.create_subscription(
            TransitionEvent,
            f'{self.node_name}/transition_event',
            functools.partial(self.__on_transition, context),
            10,
        )
        self.__client = node.create_client(ChangeStateService, f'{self.node_name}/change_state')
        context.register_event_handler(
            EventHandler(
                matcher=lambda event: (
                    isinstance(event, ChangeState) and event.lifecycle_node_matcher(self)
                ),
                entities=[OpaqueFunction(function=self.__on_change_state)],
            )
        )
        return super().execute(context)

    def __on_transition(
        self, context: LaunchContext, message: lifecycle_msgs.msg.TransitionEvent
    ) -> None:
        loop = context.asyncio_loop
        if loop is not None:
            event = StateTransition(action=self, msg=message)
            loop.call_soon_threadsafe(context.emit_event_sync, event)

    def __on_change_state(self, context: LaunchContext) -> None:
        from lifecycle_msgs.srv import ChangeState as ChangeStateService

        request = ChangeStateService.Request()
        request.transition.id = context.locals.event.transition_id
        context.add_completion_future(
            context.asyncio_loop.run_in_executor(None, self.__call, request, context)
        )

    def __call(
        self, request: lifecycle_msgs.srv.ChangeState.Request, context: LaunchContext
    ) -> None:
        """Wait for the node's service and call it, in a thread of its own."""
        while not self.__client.wait_for_service(timeout_sec=_POLL):
            if self.__gone(context, 'for the service'):
                return
        done = threading.Event()
        response = self.__client.call_async(request)
        response.add_done_callback(lambda _: done.set())
        while not done.wait(_POLL):
            if self.__gone(context, "for the service's response"):
                response.cancel()
                return
        if not response.result().success:
            self.__logger.error(
                "Failed to make transition '%s' for LifecycleNode '%s'",
                ChangeState.valid_transitions[request.transition.id],
                self.node_name,
            )

    def __gone(self, context: LaunchContext, wait: str) -> bool:
        if not context.is_shutdown:
            return False
        self.__logger.warning("Abandoning wait %s of '%s', due to shutdown.", wait, self.node_name)
        return True
