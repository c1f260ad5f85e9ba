"""Real nodes on a background executor over real Fast DDS, in a domain of this module alone."""

import itertools
import os
import threading
import time

import pytest

os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
os.environ.setdefault('ROS_LOG_DIR', '/tmp/sim_perception_test_logs')

DEADLINE = 60.0
# A node that starts for the first time on a machine compiles its loops.
FIRST_START = 240.0


class Collector:
    """Keeps what arrives on a topic and wakes those who wait for it."""

    def __init__(self):
        self.messages = []
        self._changed = threading.Condition()

    def __call__(self, message):
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()

    def wait(self, predicate=lambda _: True, what='a message', deadline=DEADLINE):
        """Return the first message that fulfils the predicate, waiting for it."""

        def find():
            return next((m for m in self.messages if predicate(m)), None)

        with self._changed:
            if not self._changed.wait_for(lambda: find() is not None, deadline):
                seen = '\n'.join(str(m)[:200] for m in self.messages[-5:])
                raise AssertionError(f'{what} did not come within {deadline} s; last:\n{seen}')
            return find()

    def clear(self):
        with self._changed:
            self.messages.clear()


class RosHarness:
    """A context with an executor on a thread, and one node for publishers and subscriptions."""

    def __init__(self):
        import rclpy
        from rclpy.node import Node

        from sim_perception.ros.executor import NodeExecutor

        rclpy.init()
        self.executor = NodeExecutor()
        self.node = Node('test_harness')
        self.executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self):
        from rclpy.executors import ExternalShutdownException

        try:
            self.executor.spin()
        except ExternalShutdownException:
            return

    def add(self, node):
        self.executor.add_node(node)
        return node

    def call(self, function, deadline=DEADLINE):
        """Run a function on the executor's thread, as its own callbacks; returns the result.

        What changes a node must not race with the node's timers and subscriptions.
        """
        return self.executor.call(function, deadline)

    def remove(self, node):
        def destroy():
            self.executor.remove_node(node)
            node.destroy_node()

        self.call(destroy)

    def collect(self, message_type, topic, qos=10, raw=False):
        collector = Collector()
        create = self.node.create_subscription
        self.call(lambda: create(message_type, topic, collector, qos, raw=raw))
        return collector

    def publisher(self, message_type, topic, qos=10):
        return self.call(lambda: self.node.create_publisher(message_type, topic, qos))

    def until(self, condition, what, deadline=DEADLINE):
        """Wait for a state that sends no message (such as a match of two endpoints)."""
        pause = threading.Event()
        end = time.monotonic() + deadline
        while not condition():
            assert time.monotonic() < end, f'{what} did not happen within {deadline} s'
            pause.wait(0.01)

    def matched(self, publisher, count=1):
        what = 'a subscriber'
        self.until(lambda: publisher.get_subscription_count() >= count, what, FIRST_START)

    def close(self):
        import rclpy

        self.executor.shutdown()
        self._thread.join(10)
        self.node.destroy_node()
        rclpy.try_shutdown()


_domains = itertools.count(os.getpid())


@pytest.fixture(scope='module', autouse=True)
def own_domain():
    """Keep away from what other modules of this process, and other processes, have left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('ROS_DOMAIN_ID', str(1 + next(_domains) % 200))
        yield


@pytest.fixture(scope='module')
def ros(own_domain):
    harness = RosHarness()
    yield harness
    harness.close()


@pytest.fixture(scope='session')
def dummy_checkpoint(tmp_path_factory):
    """A checkpoint with random weights: proof of life needs no trained network."""
    import torch

    from sim_perception.inference.preprocess import PreprocessConfig
    from sim_perception.models.checkpoint import save_checkpoint
    from sim_perception.models.depth_segmentation import (
        DepthSegmentationConfig,
        DepthSegmentationNet,
    )
    from sim_perception.taxonomy import load_taxonomy

    torch.manual_seed(0)
    taxonomy = load_taxonomy()
    config = DepthSegmentationConfig(
        classes=len(taxonomy), depth_channels=(16, 8), semantic_channels=(16, 8)
    )
    return save_checkpoint(
        tmp_path_factory.mktemp('models') / 'dummy',
        DepthSegmentationNet(config),
        taxonomy=taxonomy,
        preprocess=PreprocessConfig(size=(64, 32)).to_dict(),
    )
