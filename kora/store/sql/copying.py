"""Copying a board from one store to another, history included.

The source is verified, then read as of one moment, part by part and page by page; each page is written in one short
transaction that also marks how far the copy has come. At the end both are compared, the target is verified, and it is
seen whether the source is still as it was. Killed at any point, the next run goes on behind the last page. Where the
source has changed since, it goes over all of it again, but for the events that are there, and changes what differs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from kora.errors import CopyError, StoreUnavailableError
from kora.store.sql.copy_parts import ACTORS, EVENTS, PARTS, Part
from kora.store.sql.copy_source import Source
from kora.store.sql.copy_target import BEGIN, Progress, Target
from kora.store.views import ChainReport, CopyResult

Told = Callable[[str, int, int], None]
"""told what is done, how much of it, of how much"""


def copy(source: Source, target: Target, *, origin: str, who: str, told: Told) -> CopyResult:
    """The target's workspace is the source's.

    Raises:
        CopyError: the source is being worked, broken, or has changed meanwhile; the target is not empty, or differs.
        StoreUnusableError: the target is an unfinished copy of something else.
        StoreUnavailableError: one of them is out of reach. The same copy goes on where it was.
    """
    try:
        return _copy(source, target, origin, who, told)
    except StoreUnavailableError as error:
        raise type(error)(f"{error}; the same copy, given again, goes on where it was") from error


def _copy(source: Source, target: Target, origin: str, who: str, told: Told) -> CopyResult:
    told("verifying the source", 0, 1)
    _check_chains(source, source.verify())
    told("verifying the source", 1, 1)
    with source.snapshot():
        state, permission = source.state(), source.claim_permission()
        progress = target.begin(origin, state)
        has_gone_on = progress != BEGIN
        _copy_parts(source, target, progress, told)
        counts = {part: source.counts(part) for part in PARTS}
        _compare(source, target, counts)
    told("verifying the copy", 0, 1)
    report = target.seen.verify()
    _check_chains(target.seen, report)
    told("verifying the copy", 1, 1)
    with source.snapshot():
        if source.state() != state:
            raise CopyError(
                f"{source.name} was changed while it was copied; give the same copy again, which brings the rest over"
            )
    result = CopyResult(
        source=source.name,
        target=target.name,
        rows={part.name: count for part, count in counts.items()},
        chains=report.chains,
        events_verified=report.events,
        has_gone_on=has_gone_on,
    )
    target.finish(permission, who=who, told=_told_of(result))
    return result


def _copy_parts(source: Source, target: Target, progress: Progress, told: Told) -> None:
    anchors = source.anchors()
    for number in range(progress.part, len(PARTS)):
        part = PARTS[number]
        if number > progress.part:
            begin = (progress.events_after,) if part is EVENTS else part.begin
            progress = Progress(number, begin, progress.events_after)
            target.move(progress)
        if progress.after == part.begin or part is EVENTS:
            target.begin_part(part, anchors, progress)
        progress = _copy_part(source, target, part, progress, told)


def _copy_part(source: Source, target: Target, part: Part, progress: Progress, told: Told) -> Progress:
    total, done = source.counts(part), 0
    if progress.after != part.begin:
        done = min(total, target.seen.counts(part))
    told(part.name, done, total)
    while True:
        rows, after = source.page(part, progress.after)
        if not rows:
            return progress
        events_after = int(after[0]) if part is EVENTS else progress.events_after
        progress = Progress(progress.part, after, events_after)
        target.write(part, rows, progress)
        done += len(rows)
        told(part.name, done, total)


def _check_chains(end: Source, report: ChainReport) -> None:
    fault = report.fault
    if fault is not None:
        raise CopyError(
            f"{end.name}: chain {fault.chain_id} is broken at event {fault.chain_seq} ({fault.fault}); see"
            " `kora-actors events --verify`"
        )


def _compare(source: Source, target: Target, counts: dict[Part, int]) -> None:
    """Nothing, if both have as much of everything, and the same chains. Raises `CopyError`."""
    differ = [
        f"{there:,} {part.name} for {count:,}"
        for part, count in counts.items()
        # Whoever has opened the target before is registered there, too.
        if part is not ACTORS and (there := target.seen.counts(part)) != count
    ]
    if (source.heads(), source.anchors()) != (target.seen.heads(), target.seen.anchors()):
        differ.append("other ends of the chains")
    if differ:
        raise CopyError(
            f"{target.name} is no true copy of {source.name}: it has {', '.join(differ)}; somebody else has written"
            " there. Give the copy up (--discard), and copy again"
        )


def _told_of(result: CopyResult) -> dict[str, Any]:
    said = asdict(result)
    return {"from": said["source"], **said["rows"]}
