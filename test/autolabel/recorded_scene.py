"""A small recording of one car before a camera and a LiDAR, with its true image box."""

from functools import cache
from types import SimpleNamespace

import numpy as np
from lidar_scenes import CAMERA, CAMERA_T_LEVEL, SENSOR, car_state, made_scene

from sim_perception.bags import messages as m
from sim_perception.bags import simulated
from sim_perception.bags import topics as t
from sim_perception.bags.messages import StampedMessage
from sim_perception.bags.typestore import serialize
from sim_perception.bags.writer import BagWriter
from sim_perception.geometry.transforms import from_euler, invert
from sim_perception.taxonomy import load_taxonomy

PERIOD = 100_000_000
SPEED = 5.0
POINT = np.dtype([('x', '<f4'), ('y', '<f4'), ('z', '<f4')])


@cache
def scene():
    return made_scene(car_state(0))


def write_recording(path, frames=6, boxes=True, truth=False):
    """The car drives ahead of the robot at its speed, so it is at the same place in all frames.

    Besides the car, the boxes name one that cannot be seen and one in the sky. ``truth`` adds the
    car's true box in ``odom``.
    """
    taxonomy, made = load_taxonomy(), scene()
    rng = np.random.default_rng(0)
    base_T_lidar = np.eye(4)
    base_T_lidar[:3, 3] = SENSOR
    with BagWriter(path) as bag:

        def write(topic, stamp, message):
            bag.write(StampedMessage(topic.name, stamp, serialize(message)))

        static = [
            m.transform_message(invert(CAMERA_T_LEVEL), 1, t.BASE_FRAME, t.CAMERA_FRAME),
            m.transform_message(base_T_lidar, 1, t.BASE_FRAME, t.LIDAR_FRAME),
        ]
        write(t.TF_STATIC, m.START_STAMP, m.tf_message(static))
        for k in range(frames):
            stamp = m.START_STAMP + k * PERIOD
            place = from_euler(0, 0, 0.1, (SPEED * 1e-9 * k * PERIOD, 0, 0))
            pose = m.transform_message(place, stamp, t.ODOM_FRAME, t.BASE_FRAME)
            write(t.TF, stamp, m.tf_message([pose]))
            image = np.full((CAMERA.height, CAMERA.width, 3), 90, np.uint8)
            write(t.IMAGE, stamp, m.image_message(image, stamp, t.CAMERA_FRAME))
            write(t.CAMERA_INFO, stamp, m.camera_info_message(CAMERA, stamp, t.CAMERA_FRAME))
            points = made.frame.points - SENSOR + rng.normal(0, 0.005, made.frame.points.shape)
            cloud = np.zeros(len(points), POINT)
            for axis, name in enumerate('xyz'):
                cloud[name] = points[:, axis]
            write(t.POINTS, stamp, m.cloud_message(cloud, stamp, t.LIDAR_FRAME))
            if boxes:
                write(t.OBJECTS_2D, stamp, boxes_message(made.box2d, taxonomy, stamp))
            if truth:
                real = SimpleNamespace(
                    id=np.array([7]),
                    class_id=np.array([taxonomy.id_of('car')]),
                    visibility=np.array([1.0]),
                    world_T_object=(place @ made.box.parent_T_box)[None],
                    size=np.array([made.box.size]),
                    lamps=(),
                )
                write(
                    t.OBJECTS,
                    stamp,
                    simulated.objects_message(real, taxonomy, stamp, t.ODOM_FRAME),
                )
    return path


def boxes_message(box, taxonomy, stamp):
    car = taxonomy.id_of('car')
    sky = np.array([400.0, 5.0, 460.0, 40.0])
    truth = SimpleNamespace(
        id=np.array([7, 8, 9]),
        class_id=np.array([car, car, car]),
        visibility=np.array([1.0, 0.05, 1.0]),
        box_amodal=np.stack([box, box + 30, sky]),
        lamps=(),
    )
    return simulated.objects_2d_message(truth, taxonomy, stamp, t.CAMERA_FRAME)
