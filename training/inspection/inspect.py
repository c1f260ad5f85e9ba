"""What a source holds, is good for, and lacks."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from sim_perception.bags.reader import BagReader
from training.datasets.bags.open_bags import expand
from training.datasets.sources import KINDS, SourceConfig
from training.inspection.bag import (
    Image,
    contact_sheet,
    describe,
    describe_sensors,
    shown_sensors,
    topic_table,
)
from training.inspection.source import (
    facts_table,
    inspect_source,
    missing,
    source_sheet,
    usable_for,
)


def inspect(config: SourceConfig, rows: int, verify: bool, console: Console) -> Image:
    """Print everything and return the picture."""
    _, spec = KINDS.find(config.spec)
    bags = expand([spec.path]) if spec.kind == 'bag' else []
    sheet = None
    for path in bags:
        if verify or len(bags) == 1:
            with BagReader(path, spec.sensors) as bag:
                if len(bags) == 1:
                    console.print(topic_table(bag))
                    for line in (*describe(bag), *describe_sensors(bag)):
                        console.print(escape(line), highlight=False)
                    bag.sensors = shown_sensors(bag)
                    config = config.model_copy(update={'spec': spec.of(bag.sensors)})
                    sheet = contact_sheet(bag, rows)
                _problems(bag, verify, console)
    found = inspect_source(config)
    for problem in getattr(found.source.samples, 'problems', ()):
        console.print(f'[red]problem:[/] {escape(problem)}', highlight=False)
    console.print(facts_table(config.spec, found.facts))
    console.print(f'[bold]usable for:[/] {" | ".join(usable_for(found.facts))}', highlight=False)
    for line in missing(found.facts):
        console.print(f'[yellow]missing:[/] {line}', highlight=False)
    return source_sheet(found, rows) if sheet is None else sheet


def _problems(bag: BagReader, verify: bool, console: Console) -> None:
    """Print what could not be read of a bag, all of it if asked to."""
    if verify:
        bag.verify()
    for problem in bag.problems:
        console.print(f'[red]problem:[/] {escape(problem)}', highlight=False)
    if verify and not bag.problems:
        console.print(f'{bag.path.name}: every message is readable')
