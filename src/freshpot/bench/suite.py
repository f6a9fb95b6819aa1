"""Runs benchmarks one after the other, and writes down what was measured, whatever happens.

Owned here: the order, what an interrupt or a failure leaves behind. Who calls it: ``freshpot bench``.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from pathlib import Path

import freshpot.bench.jobs  # noqa: F401 - declares them
from freshpot.bench import report
from freshpot.bench.jobs._contest import one_line
from freshpot.bench.rows import JOBS, Curve, Job, Options, Row
from freshpot.errors import DataError, near_matches

__all__ = ["chosen", "run"]


def chosen(names: Sequence[str] | None) -> list[Job]:
    """The benchmarks of these names, in the order of the table; all without names.

    Raises:
        DataError: there is no such benchmark.
    """
    for name in names or ():
        if name not in JOBS:
            raise DataError(
                f"no benchmark is called '{name}'; there are {', '.join(JOBS)}.{near_matches(name, JOBS)}"
            )
    return [job for job in JOBS.values() if not names or job.name in names]


def run(todo: Sequence[Job], options: Options, folder: Path) -> bool:
    """Run, and write ``bench.md`` and ``bench.svg`` into ``folder`` after each benchmark; False: interrupted."""
    sections: list[report.Section] = []
    started = time.time()
    for number, job in enumerate(todo, 1):
        options.say(f"[{number}/{len(todo)}] {job.title}")
        section = report.Section(job.title)
        sections.append(section)
        try:
            for result in job.run(options):
                if isinstance(result, Curve):
                    section.curves.append(result)
                else:
                    section.rows.append(result)
                    options.say(f"    {report.one_row(result)}")
        except KeyboardInterrupt:
            report.write(folder, sections, options, started, complete=False)
            return False
        except Exception as error:  # one benchmark less is no reason to lose the others
            section.rows.append(Row(job.title, "-", note=f"failed: {one_line(error)}"))
            options.say(f"    failed: {one_line(error)}")
        report.write(folder, sections, options, started, complete=number == len(todo))
        gc.collect()
    return True
