"""The section "The night" of a report: what ran, why it stopped, what happened, what it cost, and how to go on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from knightshift.core.human_units import clock_time, duration, local_and_utc, local_span, plain
from knightshift.reconstruction.report.inputs import RejectedPass, ReportInputs, RunFacts
from knightshift.reconstruction.report.losses import Loss, losses_of, weightless_cost, worst_program_cost
from knightshift.reconstruction.report.markup import Markup, element, joined, table
from knightshift.reconstruction.report.night import Epoch, Night

_OPEN_ROWS = 12
"""Rows of a list that are shown at once; the others open on a click."""
_MOST_ROWS = 500
"""Rows of a list that a page can bear; the others are in the journal."""
_WEIGHTLESS = ("since", "pass", "reason", "passes", "scanner time")
_FOLLOWED = {
    "temperature": "temperature",
    "level": "helium or other levels",
    "amplitude": "reference FIDs",
}


def night_sentence(run: RunFacts) -> str:
    """Say in one sentence how the night went: passes, times, what it cost."""
    went = f"{run.passes_got} of {run.passes_planned} passes"
    if run.started is not None and run.finished is not None:
        went += f", {local_span(run.started, run.finished)} ({duration(run.finished - run.started)})"
    lost = len(run.rejected)
    cost = f"; {lost} without weight, which cost {_percent(weightless_cost(run))} of the SNR" if lost else ""
    return f"{went}{cost}. {how_it_ended(run)}"


def how_it_ended(run: RunFacts) -> str:
    """Say why the last epoch came to its end."""
    if not run.night.epochs:
        return (
            "Complete." if run.complete else "Nothing was played yet." if not run.passes_got else "It is not complete."
        )
    last = run.night.epochs[-1]
    match last.status:
        case "completed":
            return "Complete."
        case "stopped":
            return f"Stopped by: {last.reason or 'a request'}."
        case "failed":
            return f"Failed: {last.reason}."
    return "No last word: still acquiring, or killed, or cut off from power."


def night_story(inputs: ReportInputs, run: RunFacts) -> list[Markup]:
    """Tell the night in tables.

    Parameters
    ----------
    inputs
        What the report is made of.
    run
        Its run.
    """
    night = run.night
    return [
        table((), _overview(run)),
        *_command(run),
        *_costs(run),
        *_listed("Suspensions", ("from", "to", "how long", "before pass", "interlock and reason"), _suspensions(night)),
        *_listed("Passes played again", ("when", "pass", "attempt", "time lost", "fault"), _repetitions(night)),
        *_listed("Passes without weight", _WEIGHTLESS, _weightless(run), len(run.rejected)),
        *_listed("Epochs", ("epoch", "from", "to", "passes", "ended", "computer"), _epochs(night.epochs)),
        *_listed("Also in the journal", ("when", "what", "words"), _happenings(night)),
        *_not_measured(inputs, run),
    ]


def _overview(run: RunFacts) -> list[tuple[str, str]]:
    night, last, n_epochs = run.night, run.passes_got - run.passes_used, max(1, len(run.night.epochs))
    rows = [
        ("protocol", run.protocol_name),
        (
            "passes",
            f"{run.passes_planned} planned, {run.passes_got} got, {run.passes_used} with weight, {last} without",
        ),
        ("first pass began", _moment(run.started, run)),
        ("last pass ended", _moment(run.finished, run)),
        ("how it ended", how_it_ended(run)),
        ("suspended", _suspended_words(night)),
        ("played again", _times(len(night.repetitions), f"{duration(night.repeated)} of scanner time")),
        ("interruptions", {1: "none", 2: "one, resumed"}.get(n_epochs, f"{n_epochs - 1}, each resumed")),
    ]
    if run.rejected:
        worst, cost = worst_program_cost(run), weightless_cost(run)
        spread = f" (at most {_percent(worst)} at one echo time)" if len(run.programs_used) > 1 else ""
        rows.append(("SNR lost to passes without weight", f"{_percent(cost)}{spread}"))
    return rows


def _suspended_words(night: Night) -> str:
    open_ended = any(pause.duration is None for pause in night.suspensions)
    more = "; the last did not end" if open_ended else ""
    return _times(len(night.suspensions), f"{duration(night.suspended)} in all{more}")


def _times(count: int, then: str) -> str:
    return {0: "never", 1: f"once, {then}"}.get(count, f"{count} times, {then}")


def _moment(seconds: float | None, run: RunFacts) -> str:
    if seconds is None:
        return "not measured"
    return local_and_utc(seconds) + (", virtual clock" if run.virtual_clock else "")


def _command(run: RunFacts) -> list[Markup]:
    if run.complete:
        return [element("p", "Every pass of the plan is there: there is nothing to continue.", class_="note")]
    if not run.resume_command:
        return []
    return [
        element("p", "This continues it:"),
        element("pre", element("code", run.resume_command)),
    ]


def _costs(run: RunFacts) -> list[Markup]:
    losses = losses_of(run)
    if not losses:
        return []
    rows = [_cost_row(loss) for loss in losses]
    words = (
        "Passes without weight, and passes that are not there, cost signal-to-noise ratio: n lost beside u used ones "
        "cost 1 − √(u/(u+n)). All else cost time only: those passes were played later."
    )
    return [
        element("h3", "What it cost"),
        table(("cause", "how often", "time", "SNR"), rows),
        element("p", words, class_="note"),
    ]


def _cost_row(loss: Loss) -> tuple[str, ...]:
    return (
        loss.cause,
        str(loss.n),
        duration(loss.time) if loss.time else "–",
        _percent(loss.snr) if loss.snr else "none",
    )


def _percent(share: float) -> str:
    return f"{plain(100 * share, 2)} %"


def _listed(
    title: str, head: tuple[str, ...], rows: Iterable[tuple[str, ...]], count: int | None = None
) -> Sequence[Markup]:
    """Make a list with a heading that says how many; a long one is folded, and a page full is the most."""
    every = list(rows)
    if not every:
        return ()
    count = len(every) if count is None else count
    shown = [element("h3", f"{title} ({count})" if count > 1 else title), table(head, every[:_OPEN_ROWS])]
    rest = every[_OPEN_ROWS:_MOST_ROWS]
    if rest:
        shown.append(element("details", element("summary", f"{len(rest)} more"), table(head, rest)))
    if len(every) > _MOST_ROWS:
        shown.append(element("p", f"{len(every) - _MOST_ROWS} more are in the journal.", class_="note"))
    return shown


def _suspensions(night: Night) -> Iterable[tuple[str, ...]]:
    for pause in night.suspensions:
        ended = None if pause.duration is None else pause.began + pause.duration
        yield (
            clock_time(pause.began),
            "did not end" if ended is None else clock_time(ended),
            "–" if pause.duration is None else duration(pause.duration),
            str(pause.index),
            pause.reason,
        )


def _repetitions(night: Night) -> Iterable[tuple[str, ...]]:
    for again in night.repetitions:
        what = joined([element("code", again.kind), ": ", again.fault])
        yield (clock_time(again.time), str(again.index), str(again.attempt), duration(again.cost), what)


def _weightless(run: RunFacts) -> Iterable[tuple[str, ...]]:
    """List passes without weight; a row of passes with one reason is one line."""
    for some in _in_a_row(run.rejected):
        first, last = some[0], some[-1]
        when = "–" if first.time is None else clock_time(first.time)
        index = str(first.index) if first is last else f"{first.index} to {last.index}"
        reason = f"{first.reason} (acquired again)" if first.replaced else first.reason
        yield (when, index, reason, str(len(some)), duration(sum(one.cost for one in some)))


def _in_a_row(passes: Sequence[RejectedPass]) -> list[list[RejectedPass]]:
    rows: list[list[RejectedPass]] = []
    for one in passes:
        before = rows[-1][-1] if rows else None
        if before and (one.index, one.reason, one.replaced) == (before.index + 1, before.reason, before.replaced):
            rows[-1].append(one)
        else:
            rows.append([one])
    return rows


def _epochs(epochs: Sequence[Epoch]) -> Iterable[tuple[str, ...]]:
    if len(epochs) < 2:
        return
    for epoch in epochs:
        ended = epoch.status or "no last word"
        words = f"{ended}: {epoch.reason}" if epoch.reason else ended
        yield (
            str(epoch.number),
            clock_time(epoch.began),
            clock_time(epoch.ended),
            str(epoch.n_committed),
            words,
            epoch.host,
        )


def _happenings(night: Night) -> Iterable[tuple[str, ...]]:
    for one in night.happenings:
        yield (clock_time(one.time), one.event.replace("_", " "), one.words)


def _not_measured(inputs: ReportInputs, run: RunFacts) -> list[Markup]:
    there = {curve.sort for curve in run.night.curves}
    missing = [words for sort, words in _FOLLOWED.items() if sort not in there]
    missing += [] if inputs.running_snr is not None else ["signal over noise through the night"]
    return [element("p", f"Not measured: {', '.join(missing)}.", class_="note")] if missing else []
