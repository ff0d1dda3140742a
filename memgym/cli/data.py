"""``memgym data``: see what data there is, build files of it, look inside, check for leaks."""

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from memgym.cli.options import Commands, add_data, data_folder, name_and_value, whole_number
from memgym.errors import UsageError

if TYPE_CHECKING:
    from memgym.cli.progress import Reporter
    from memgym.tasks.datasets import Dataset

__all__ = ["add_parser"]

_EPILOG = """\
examples:
  memgym data list                                     every source, and whether its data is here
  memgym data build squad:train --out squad.jsonl      stopped builds go on where they were
  memgym data build procedural:train --episodes 1000 --out train.parquet
  memgym data stats squad:train hotpotqa:train         sizes, beside the paper's own figures
  memgym data stats --markdown > docs/sources.md       the documentation page of all that is here
  memgym data show squad:test --episode 2              read one episode
  memgym data export squad.jsonl squad.parquet         for other trainers, and back
  memgym data check squad:train my-test.jsonl          what do the two share?
  memgym data check                                    every split against every other split

A dataset is written source:split, or it is a file that ends in .jsonl or .parquet.
"""


def add_parser(commands: Commands) -> None:
    """Add the command, with its own subcommands, to the main parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "data",
        help="list, build, measure, show, export and check data",
        description="List, build, measure, show, export and check data.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=type(parser)
    )
    _add_list(actions)
    _add_build(actions)
    _add_stats(actions)
    _add_show(actions)
    _add_export(actions)
    _add_check(actions)


def _add_list(actions: Commands) -> None:
    parser: argparse.ArgumentParser = actions.add_parser(
        "list", help="every source: ability, licence, splits, and whether its data is here"
    )
    add_data(parser)
    parser.set_defaults(run=_list)


def _list(arguments: argparse.Namespace) -> int:
    from memgym.cli.data_views import availability
    from memgym.cli.progress import output_console
    from memgym.cli.tables import print_table
    from memgym.tasks.registry import get_source, source_names

    folder = data_folder(arguments.data)
    rows = []
    for source in map(get_source, source_names()):
        ability = (source.ability or "several").replace("_", " ")
        here = availability(source, folder)
        rows.append((source.name, ability, source.licence, ", ".join(source.splits), here))
    columns = ("name", "ability", "licence", "splits", "data")
    print_table(output_console(), "Data sources", columns, rows)
    return 0


def _add_build(actions: Commands) -> None:
    parser: argparse.ArgumentParser = actions.add_parser(
        "build", help="write the episodes of a source to a file; continues a stopped build"
    )
    parser.add_argument("dataset", metavar="DATASET", help="source:split")
    parser.add_argument(
        "--out", required=True, metavar="FILE", help="name ending in .jsonl or .parquet"
    )
    _add_choice(parser)
    parser.set_defaults(run=_build)


def _add_choice(parser: argparse.ArgumentParser) -> None:
    """Add what chooses the episodes of a dataset."""
    parser.add_argument(
        "--episodes", type=whole_number, metavar="N", help="the first N only (endless sources: 10)"
    )
    parser.add_argument(
        "--option",
        type=name_and_value,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="option of the source, such as shots=10; may be repeated",
    )
    add_data(parser)


def _dataset(arguments: argparse.Namespace, reference: str) -> "Dataset":
    from memgym.tasks.datasets import open_dataset

    return open_dataset(
        reference,
        data=data_folder(arguments.data),
        options=dict(getattr(arguments, "option", [])),
        limit=arguments.episodes,
    )


def _build(arguments: argparse.Namespace) -> int:
    from memgym.cli.progress import Reporter
    from memgym.tasks.building import build

    dataset = _dataset(arguments, arguments.dataset)
    target = Path(arguments.out)
    settings = {"options": dict(arguments.option)}
    try:
        with Reporter("episodes") as reporter:
            count = build(dataset, target, settings, reporter)
    except KeyboardInterrupt:
        sys.stderr.write("\nmemgym: stopped; give the same command again to continue\n")
        return 130
    print(f"{count} episodes of {dataset.name} in {target}")
    for reason, left_out in getattr(dataset.episodes, "excluded", {}).items():
        print(f"  left out: {left_out} x {reason}")
    return 0


def _add_stats(actions: Commands) -> None:
    parser: argparse.ArgumentParser = actions.add_parser(
        "stats", help="sizes of datasets, beside the paper's figures"
    )
    parser.add_argument(
        "datasets", nargs="*", metavar="DATASET", help="default: every split of what is here"
    )
    parser.add_argument(
        "--markdown", action="store_true", help="write the documentation page of the sources"
    )
    _add_choice(parser)
    parser.set_defaults(run=_stats)


def _stats(arguments: argparse.Namespace) -> int:
    from memgym.cli.data_views import COLUMNS, markdown_page, statistics_row
    from memgym.cli.progress import Reporter, output_console
    from memgym.cli.tables import print_table

    with Reporter("datasets") as reporter:
        rows = [
            statistics_row(dataset)
            for dataset in _datasets(arguments, arguments.datasets, reporter)
        ]
    if arguments.markdown:
        print(markdown_page(rows), end="")
    else:
        print_table(output_console(), "Sizes", COLUMNS, rows, COLUMNS[1:6])
    return 0


def _datasets(
    arguments: argparse.Namespace, references: Sequence[str], progress: "Reporter"
) -> Iterator["Dataset"]:
    """Yield the datasets named, or every split of the sources whose data is here.

    Of the latter, a split that has no episodes (a small slice of a source, say) is left out, and
    that is told on stderr.
    """
    from memgym.tasks.datasets import dataset_names, is_available
    from memgym.tasks.registry import source_names

    folder = data_folder(arguments.data)
    here = [name for name in source_names() if is_available(name, folder)]
    chosen = references or [reference for name in here for reference in dataset_names(name)]
    for done, reference in enumerate(chosen):
        progress(done, len(chosen))
        try:
            yield _dataset(arguments, reference)
        except UsageError as error:
            if references:
                raise
            sys.stderr.write(f"memgym: left out {reference}: {error}\n")


def _add_show(actions: Commands) -> None:
    parser: argparse.ArgumentParser = actions.add_parser(
        "show", help="read one episode: its chunks, questions, golds and evidence"
    )
    parser.add_argument("dataset", metavar="DATASET", help="source:split or a file")
    parser.add_argument("--episode", default="0", metavar="KEY", help="index or id (default: 0)")
    _add_choice(parser)
    parser.set_defaults(run=_show)


def _show(arguments: argparse.Namespace) -> int:
    from memgym.cli.data_views import episode_text
    from memgym.cli.progress import output_console

    key = arguments.episode
    dataset = _dataset(arguments, arguments.dataset)
    episode = dataset.episodes.episode(int(key) if key.isascii() and key.isdigit() else key)
    console = output_console()
    if console.is_terminal:
        with console.pager():
            console.print(episode_text(episode), markup=False, highlight=False)
    else:
        print(episode_text(episode))
    return 0


def _add_export(actions: Commands) -> None:
    parser: argparse.ArgumentParser = actions.add_parser(
        "export", help="turn a dataset or file into JSON Lines or published-schema parquet"
    )
    parser.add_argument("dataset", metavar="DATASET", help="a file, or source:split")
    parser.add_argument("out", metavar="FILE", help="name ending in .jsonl or .parquet")
    _add_choice(parser)
    parser.set_defaults(run=_export)


def _export(arguments: argparse.Namespace) -> int:
    from memgym.tasks.building import write_episodes

    dataset = _dataset(arguments, arguments.dataset)
    target = Path(arguments.out)
    count = write_episodes(target, dataset)
    print(f"{count} episodes of {dataset.name} in {target}")
    return 0


def _add_check(actions: Commands) -> None:
    parser: argparse.ArgumentParser = actions.add_parser(
        "check",
        help="find questions, passages and labelled examples that datasets share",
        description="Find what datasets share: questions, labelled sentences, passages, and "
        "passages with a run of 13 words in common. Exit code 1 if there is anything.",
    )
    parser.add_argument(
        "datasets",
        nargs="*",
        metavar="DATASET",
        help="two or more; default: every split of what is here against the other splits",
    )
    parser.add_argument(
        "--show", type=whole_number, default=5, metavar="N", help="pairs to print per kind"
    )
    _add_choice(parser)
    parser.set_defaults(run=_check)


def _check(arguments: argparse.Namespace) -> int:
    from memgym.cli.data_views import overlap_text
    from memgym.cli.progress import Reporter
    from memgym.tasks.overlap import find_overlaps, fingerprint

    given = list(dict.fromkeys(arguments.datasets))
    if len(given) == 1:
        raise UsageError("name two or more datasets to compare, or none to compare all splits")
    prints = {}
    with Reporter("datasets") as reporter:
        for dataset in _datasets(arguments, given, reporter):
            prints[dataset.name] = fingerprint(dataset.name, dataset)
    pairs = [
        (one, other)
        for one, other in itertools.combinations(prints, 2)
        if given or one.partition(":")[2] != other.partition(":")[2]
    ]
    found = 0
    for one, other in pairs:
        overlaps = find_overlaps(prints[one], prints[other])
        found += len(overlaps)
        if overlaps:
            print(overlap_text(one, other, overlaps, arguments.show))
    print(f"{len(prints)} datasets, {len(pairs)} pairs: {found} overlaps.")
    return 1 if found else 0
