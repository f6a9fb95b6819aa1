"""The table at the end of a run."""

from __future__ import annotations

from freshpot.legacy.runner import FAILED, NOT_RUN, OK, Outcome, Result

__all__ = ["format_table"]


def format_table(result: Result) -> str:
    """Cell, line, status, time, error; then the sums and all that was done for the program."""
    lines = [f"{'cell':>4}  {'line':>5}  {'status':<8}{'time':>9}  error"]
    lines += [_row(number, outcome) for number, outcome in enumerate(result.outcomes, 1)]
    lines.append(_sums(result))
    lines += [f"  * {note}" for note in result.notes]
    if result.figures:
        lines.append(f"{len(result.figures)} figures in {result.figures[0].parent}")
    return "\n".join(line.rstrip() for line in lines)


def _row(number: int, outcome: Outcome) -> str:
    seconds = "" if outcome.status == NOT_RUN else f"{outcome.seconds:.2f} s"
    error = f"{outcome.place}: {outcome.error}" if outcome.status == FAILED else ""
    return f"{number:>4}  {outcome.cell.line:>5}  {outcome.status:<8}{seconds:>9}  {error}"


def _sums(result: Result) -> str:
    done = sum(outcome.status == OK for outcome in result.outcomes)
    document = result.document
    others = {
        "fragments": document.fragments,
        "blocks of output": document.outputs,
        "blocks in other languages": document.others,
    }
    more = ", ".join(f"{count} {what}" for what, count in others.items() if count)
    seconds = sum(outcome.seconds for outcome in result.outcomes)
    return f"{done} of {len(result.outcomes)} cells ran, {seconds:.1f} s" + (
        f"; not run: {more}" if more else ""
    )
