"""Command line of ``python -m training``; torch is imported only by the verbs that need it."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from training.commands import evaluate as cli_evaluate
from training.inspection.inspect import inspect
from training.simulation.simulate import SimulateError, simulate

app = typer.Typer(
    name='python -m training',
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    context_settings={'help_option_names': ['-h', '--help']},
)

_FORESEEN = (
    ValueError, OSError, ImportError, FloatingPointError, MemoryError,
    sqlite3.Error, SimulateError,
)  # fmt: skip

Task = Annotated[str, typer.Argument(help='Task name, e.g. depth_segmentation.')]


@app.callback()
def options(
    debug: Annotated[bool, typer.Option('--debug', help='Show tracebacks of errors.')] = False,
) -> None:
    """Simulate data, look at it, train networks on it, evaluate and export them."""


app.command()(simulate)
app.command()(inspect)
app.add_typer(cli_evaluate.app, name='evaluate')


@app.command()
def train(
    task: Task,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help='Changes of the config as key=value, e.g. steps=200 data.max_depth=80.'
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(help='YAML file or shipped config name; default: the task name.'),
    ] = None,
    resume: Annotated[
        bool, typer.Option('--resume', help='Go on from the newest state of the output folder.')
    ] = False,
    max_minutes: Annotated[
        float | None, typer.Option(help='Save the state and stop after this time.', min=0)
    ] = None,
) -> None:
    """Train a network. For several processes start it with torchrun.

    The output folder gets states (resumable at any time, also after Ctrl-C), a log, TensorBoard
    events, pictures, and in the end the checkpoint folder. Example:

    python -m training train depth_segmentation --config smoke output=runs/mine steps=50
    """
    from training.tasks.train import train as run

    run(task, config or task, overrides or [], resume=resume, max_minutes=max_minutes)


@app.command()
def translate(
    bag: Annotated[Path, typer.Argument(help='Simulated bag.')],
    checkpoint: Annotated[
        Path, typer.Option(help="A translation checkpoint: a spigan run's folder translator.")
    ],
    out: Annotated[Path, typer.Option(help='New bag; must not exist.')],
    device: Annotated[str, typer.Option(help='auto, cpu or cuda.')] = 'auto',
) -> None:
    """Copy a bag with its camera images in another domain's style and all labels as they are."""
    from training.simulation.translate import translate as run

    count = run(bag, checkpoint, out, device)
    typer.echo(f'{out}: {count} images translated')


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help='Checkpoint folder.')],
    output: Annotated[
        Path | None, typer.Option(help='ONNX file; default: model.onnx inside the checkpoint.')
    ] = None,
) -> None:
    """Write a checkpoint's network as ONNX, checked against PyTorch."""
    from training.engine.export import export as run

    run(checkpoint, output)


@app.command()
def calibrate(
    checkpoint: Annotated[Path, typer.Argument(help='Checkpoint folder.')],
    data: Annotated[
        list[str],
        typer.Option(help='Data with truth to fit on, as for evaluate; may be given repeatedly.'),
    ],
    limit: Annotated[
        int | None, typer.Option(help='At most so many frames of each.', min=1)
    ] = None,
) -> None:
    """Fit what makes a checkpoint's confidence hold, and store it.

    Of a depth_segmentation network that is two numbers, of a shape space the weights of what
    its labels' confidence rests on.
    """
    from training.evaluation.autolabel.evaluate import calibrate_any as run

    run(checkpoint, data, limit=limit)


@app.command()
def ablate(
    name: Annotated[str, typer.Argument(help='Shipped ablation, e.g. guda, or a YAML file.')],
    runs: Annotated[Path, typer.Option(help='Folder of the run folders.')] = Path('runs/ablation'),
    table: Annotated[
        Path | None, typer.Option(help='Markdown file for the table; JSON goes beside it.')
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help='Only this row; may be given repeatedly.')
    ] = None,
) -> None:
    """Train and score the rows of a comparison, and write its table. Resumable."""
    from training.evaluation.ablation import ablate as run

    run(name, runs, table, only)


@app.command()
def shape(
    out: Annotated[Path, typer.Option(help='Checkpoint folder to write.')] = Path(
        'models/shape_car'
    ),
    cars: Annotated[int, typer.Option(help='Simulated cars to learn from.', min=1)] = 160,
    held_out: Annotated[int, typer.Option(help='Other cars to score on.', min=1)] = 30,
    components: Annotated[int, typer.Option(help='Numbers that describe a shape.', min=1)] = 5,
    spacing: Annotated[float, typer.Option(help='Of the distance grid, metres.')] = 0.1,
    seed: Annotated[int, typer.Option(help='Of the cars.')] = 0,
    pictures: Annotated[Path | None, typer.Option(help='Folder for pictures.')] = None,
) -> None:
    """Learn the shape space of cars, which labelling needs, from the simulator's cars."""
    from training.tasks.shape_pca.learn import learn_shape

    learn_shape(
        out,
        cars=cars,
        held_out=held_out,
        components=components,
        spacing=spacing,
        seed=seed,
        pictures=pictures,
    )


@app.command()
def crops(
    out: Annotated[Path, typer.Option(help='Folder of the data set; a second run goes on.')],
    scenario: Annotated[
        list[str] | None,
        typer.Option(help='Shipped scenario name or YAML file; may be given repeatedly.'),
    ] = None,
    seeds: Annotated[str, typer.Option(help='Of each scenario, such as 0-99.')] = '0-9',
    frames: Annotated[int, typer.Option(help='Of each scene.', min=1)] = 8,
    labels: Annotated[
        list[Path] | None,
        typer.Option(help='Folder of the verb label: its accepted labels; may be repeated.'),
    ] = None,
    shape: Annotated[Path, typer.Option(help='Checkpoint of the shape space.')] = Path(
        'models/shape_car'
    ),
    max_range: Annotated[float, typer.Option(help='Metres from the camera.', min=1)] = 60.0,
    workers: Annotated[int, typer.Option(help='Processes.', min=1)] = 1,
) -> None:
    """Cut out cars with masks, object coordinates, pose and shape, to train on. Resumable.

    python -m training crops --scenario training --scenario training_worn --seeds 0-59 \
    --out data/crops/training
    """
    from training.labelling.crops import CropJob
    from training.labelling.crops import crops as run

    job = CropJob(
        out=str(out),
        scenarios=tuple(scenario or ()),
        seeds=seeds,
        frames=frames,
        labels=tuple(str(folder) for folder in labels or ()),
        shape=str(shape),
        max_range=max_range,
    )
    counts = run(job, workers=workers)
    typer.echo(f'{out}: {counts["crops"]} crops more, {counts["files"]} files')


@app.command()
def curriculum(
    bags: Annotated[list[str], typer.Argument(help='Recordings to label: bags or folders.')],
    start: Annotated[Path, typer.Option(help='Coordinates network to begin with.')],
    crops: Annotated[
        list[str], typer.Option(help='Folder of simulated crops to keep; may be repeated.')
    ],
    out: Annotated[Path, typer.Option(help='Folder of the rounds; a second run goes on.')],
    mode: Annotated[str, typer.Option(help='How bags are labelled: mono or fused.')] = 'fused',
    rounds: Annotated[int, typer.Option(help='How often.', min=1)] = 2,
    steps: Annotated[int, typer.Option(help='Of training per round.', min=1)] = 300,
    validation: Annotated[str, typer.Option(help='Folder of crops with truth.')] = '',
    data: Annotated[
        str, typer.Option(help='SPEC of evaluate autolabel that mono labels are scored on.')
    ] = '',
    limit: Annotated[int | None, typer.Option(help='At most so many of its frames.')] = None,
    control: Annotated[
        bool, typer.Option('--control', help='Train as long without labels, too, to compare.')
    ] = False,
    json_file: Annotated[Path | None, typer.Option('--json', help='Write the table here.')] = None,
) -> None:
    """Label recordings of another domain, learn from what is accepted, and again.

    Each round's scores go into one table: the rounds of SDFLabel's curriculum.
    """
    from training.labelling.curriculum import CurriculumJob
    from training.labelling.curriculum import curriculum as run

    job = CurriculumJob(
        start=str(start),
        bags=tuple(bags),
        crops=tuple(crops),
        out=str(out),
        mode=mode,
        rounds=rounds,
        steps=steps,
        validation=validation,
        data=data,
        limit=limit,
        control=control,
    )
    run(job, json_file=json_file)


@app.command()
def label(
    bag: Annotated[Path, typer.Argument(help='Recording with camera, LiDAR and transforms.')],
    out: Annotated[Path, typer.Option(help='Folder of the data set; a second run goes on.')],
    mode: Annotated[
        str, typer.Option(help='What labels rest on: lidar, mono or fused.')
    ] = 'lidar',
    refine: cli_evaluate.Refine = 'fit',
    detections: Annotated[
        str,
        typer.Option(
            help="A Detection2DArray topic, or 'segmentation'; default: the recording's true "
            'boxes where it has them, else segmentation.'
        ),
    ] = '',
    workers: Annotated[int, typer.Option(help='Processes.', min=1)] = 1,
    ray: Annotated[
        str | None,
        typer.Option(help="Address of a Ray cluster that shares the folders, or 'local'."),
    ] = None,
    shape: Annotated[Path, typer.Option(help='Checkpoint of the shape space.')] = Path(
        'models/shape_car'
    ),
    segmentation: Annotated[
        Path, typer.Option(help='Checkpoint that finds image boxes where no topic has them.')
    ] = Path('models/depth_segmentation'),
    coordinates: Annotated[
        Path, typer.Option(help='Checkpoint of the coordinates network, for mono and fused.')
    ] = Path('models/surface_coordinates'),
    level_frame: Annotated[
        str, typer.Option(help='Frame with z up; without it the camera is taken as level.')
    ] = 'base_link',
    min_visibility: Annotated[
        float, typer.Option(help='Detections that say they are less visible are left out.')
    ] = 0.3,
    mirrors: Annotated[
        bool, typer.Option('--mirrors', help='Boxes as wide as the car with its mirrors.')
    ] = False,
    tracks: Annotated[
        bool,
        typer.Option(
            help='One shape and smooth motion for what was seen in several frames, where '
            'transforms tell how the robot moved.'
        ),
    ] = True,
    formats: Annotated[
        str, typer.Option(help='Comma-separated: kitti, coco, nuscenes, meshes, bag, pictures.')
    ] = 'kitti,coco,nuscenes,meshes,bag,pictures',
) -> None:
    """Label the cars of a recording in 3D: boxes, shapes, masks. Resumable, also after kill -9."""
    from training.labelling.frames import LabelJob
    from training.labelling.label import label as run
    from training.labelling.label import print_summary

    job = LabelJob(
        bag=str(bag),
        out=str(out),
        mode=mode,
        refine=refine,
        detections=detections,
        shape=str(shape),
        segmentation=str(segmentation),
        coordinates=str(coordinates),
        level_frame=level_frame,
        min_visibility=min_visibility,
        mirrors=mirrors,
        tracks=tracks,
        formats=tuple(name.strip() for name in formats.split(',') if name.strip()),
    )
    print_summary(run(job, workers=workers, ray=ray), str(out), Console())


@app.command()
def resimulate(
    bag: Annotated[Path, typer.Argument(help='Recording with camera, and LiDAR or truth.')],
    out: Annotated[Path, typer.Option(help='Scenario to write (YAML); data go beside it.')],
    labels: Annotated[
        Path | None,
        typer.Option(help="Folder of the verb label; default: the recording's true objects."),
    ] = None,
    shape: Annotated[Path, typer.Option(help='Checkpoint of the shape space.')] = Path(
        'models/shape_car'
    ),
    segmentation: Annotated[
        Path, typer.Option(help='Checkpoint of depth, classes and motion.')
    ] = Path('models/depth_segmentation'),
    views: Annotated[
        int, typer.Option(help='At most so many places whose view becomes surroundings.', min=1)
    ] = 6,
    spacing: Annotated[float, typer.Option(help='Way between them, metres.')] = 6.0,
    sensors_only: Annotated[
        bool, typer.Option('--sensors-only', help='Ignore the truth of a simulated recording.')
    ] = False,
    unsure: Annotated[
        bool,
        typer.Option('--unsure', help='Use rejected labels, too, that points alone confirm.'),
    ] = False,
) -> None:
    """Re-create a recording as a scenario, to simulate it in other weather, light or traffic.

    python -m training resimulate DRIVE --labels LABELS --out again/drive.yaml

    python -m training simulate --scenario again/drive.yaml --out fog --set weather.fog_density=.03
    """
    from training.resimulation.resimulate import ResimulateJob, print_summary
    from training.resimulation.resimulate import resimulate as run

    job = ResimulateJob(
        bag,
        out,
        labels,
        shape,
        segmentation,
        views,
        spacing,
        use_truth=not sensors_only,
        unsure=unsure,
    )
    print_summary(run(job), Console())


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help='Folder for pictures, video, bag and figures.')] = Path(
        'demo_output'
    ),
    scenario: Annotated[str, typer.Option(help='Shipped scenario name or YAML file.')] = 'demo',
    seed: Annotated[int, typer.Option(help='Seed of the scenario.')] = 0,
    seconds: Annotated[float, typer.Option(help='Simulated time to run.', min=1)] = 20.0,
) -> None:
    """Run the live pipeline on the simulator; leave pictures, a video, a bag and figures."""
    from training.demo.demo import demo as run

    run(out, scenario=scenario, seed=seed, seconds=seconds)


def main() -> None:
    """Run a verb; every error is one message.

    Exit status 2: what a user can mend; 1: what nobody foresaw; 130: Ctrl-C.
    """
    try:
        app()
    except Exception as error:
        if '--debug' in sys.argv:
            raise
        foreseen = isinstance(error, _FORESEEN)
        message = f'[bold red]error:[/] {escape(_in_words(error, foreseen))}'
        Console(stderr=True, soft_wrap=True).print(message, highlight=False)
        sys.exit(2 if foreseen else 1)


def _in_words(error: Exception, foreseen: bool) -> str:
    """Return one line about an error."""
    text = str(error) if foreseen else repr(error)
    if isinstance(error, MemoryError):
        return f'not enough memory: {text}'
    if any(word in text for word in ('No space left', 'disk is full')):
        return f'{text}; free some space and run the same command again'
    return text if foreseen else f'{text}, which nobody foresaw; --debug shows where'
