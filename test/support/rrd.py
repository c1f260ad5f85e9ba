"""Files of the viewer, read by rerun's own reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rerun.chunk import RrdReader


class RrdFile:
    """The recording of a ``.rrd`` file, and the views of its layout.

    Attributes:
        entities: what was logged, by path without what is the same in every file.
        views: class and name of every view.
    """

    def __init__(self, path: Path) -> None:
        reader = RrdReader(path)
        self._batches: dict[str, list[Any]] = {}
        for chunk in reader.stream():
            name = chunk.entity_path.replace('\\', '')
            self._batches.setdefault(name, []).append(chunk.to_record_batch())
        self.entities = {name for name in self._batches if name != '/__properties'}
        self.views = set()
        for chunk in reader.stream(store=reader.blueprints()[0]):
            batch = chunk.to_record_batch()
            if 'ViewBlueprint:display_name' in batch.schema.names:
                columns = ('ViewBlueprint:class_identifier', 'ViewBlueprint:display_name')
                kind, name = (batch.column(one)[0].as_py()[0] for one in columns)
                self.views.add((kind, name))

    def values(self, entity: str, component: str) -> list[Any]:
        """Return all values of a component such as ``Boxes3D:labels``, in time order."""
        rows: list[tuple[int, Any]] = []
        for batch in self._batches[entity]:
            if component not in batch.schema.names:
                continue
            timed = 'time' in batch.schema.names
            times = batch.column('time').cast('int64').to_pylist() if timed else [0]
            values = batch.column(component).to_pylist()
            rows += zip(times * (1 if timed else len(values)), values, strict=True)
        return [value for _, value in sorted(rows, key=lambda row: row[0])]

    def times(self, entity: str) -> list[int]:
        """Return the stamps at which something was logged, nanoseconds."""
        found = {
            time
            for batch in self._batches[entity]
            if 'time' in batch.schema.names
            for time in batch.column('time').cast('int64').to_pylist()
        }
        return sorted(found)
