"""ament_python build of sim_perception; works with plain pip as well."""

from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = 'sim_perception'
SHARE = f'share/{PACKAGE}'


def tree(folder: str) -> list[tuple[str, list[str]]]:
    """Return data_files entries that install a folder with its layout below the share."""
    entries = []
    for directory in sorted({p.parent for p in Path(folder).rglob('*') if p.is_file()}):
        if '__pycache__' in directory.parts:
            continue
        files = sorted(str(p) for p in directory.iterdir() if p.is_file())
        entries.append((f'{SHARE}/{directory.as_posix()}', files))
    return entries


NODES = ['simulator', 'depth_segmentation', 'bag_player', 'pipeline']

setup(
    name=PACKAGE,
    version='0.1.0',
    packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*', 'training', 'training.*']),
    package_data={
        PACKAGE: ['py.typed'],
        f'{PACKAGE}.bags': ['msg/*/*.msg'],
        'training': ['configs/*.yaml'],
    },
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{PACKAGE}']),
        (SHARE, ['package.xml']),
        (f'{SHARE}/launch', sorted(glob('launch/*.launch.py'))),
        *tree('config'),
        *tree('models'),
    ],
    python_requires='>=3.10',
    zip_safe=True,
    maintainer='sim_perception maintainers',
    maintainer_email='maintainers@example.com',
    description='Learn perception from simulation, run it on robots.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [f'{node} = {PACKAGE}.nodes.{node}:main' for node in NODES],
    },
)
